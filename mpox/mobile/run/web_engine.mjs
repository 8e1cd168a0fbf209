// Run an ONNX file by onnxruntime-web (WebAssembly) in node, one photo at a time, as a browser would.
// node web_engine.mjs <folder with node_modules> <model.onnx> <images.f32> <photos> <side> <answers.f32>
// images.f32: photos x 3 x side x side, answers.f32: photos x classes, both little-endian float32.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [project, model, images, photos, side, answers] = process.argv.slice(2);
const found = createRequire(join(project, "package.json")).resolve("onnxruntime-web");
const loaded = await import(pathToFileURL(found).href);
const ort = loaded.default ?? loaded;
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";
const session = await ort.InferenceSession.create(readFileSync(model), { executionProviders: ["wasm"] });
const bytes = readFileSync(images);
const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
const shape = [1, 3, Number(side), Number(side)];
const size = 3 * Number(side) ** 2;
const logits = [];
for (let k = 0; k < Number(photos); k++) {
  const image = new ort.Tensor("float32", all.slice(k * size, (k + 1) * size), shape);
  const given = await session.run({ [session.inputNames[0]]: image }, [session.outputNames[0]]);
  logits.push(...given[session.outputNames[0]].data);
}
writeFileSync(answers, new Uint8Array(new Float32Array(logits).buffer));
