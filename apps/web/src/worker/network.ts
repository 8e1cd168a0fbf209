/** The model in onnxruntime-web: WebAssembly, one thread, no WebGPU, which has no exact int8. */

import * as ort from "onnxruntime-web/wasm";

import { softmax } from "../measure/decision";
import { Classified } from "../measure/messages";
import { Pixels } from "../measure/pixels";
import { Model } from "../measure/site";

export class Network {
  private constructor(
    private readonly session: ort.InferenceSession,
    private readonly model: Model,
  ) {}

  static async open(model: Model, base: string): Promise<Network> {
    const [runtime, file] = await Promise.all([unpacked(`${base}runtime.bin`), unpacked(`${base}model.bin`)]);
    ort.env.wasm.wasmBinary = runtime;
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.proxy = false;
    const session = await ort.InferenceSession.create(new Uint8Array(file), { executionProviders: ["wasm"] });
    return new Network(session, model);
  }

  /** `picture`: RGB of the model's side, as `workingPicture` makes it. */
  async classify(picture: Pixels): Promise<Classified> {
    const began = performance.now();
    const size = this.model.image_size;
    const plane = size * size;
    const values = new Float32Array(3 * plane);
    for (let k = 0; k < plane; k++) {
      for (let c = 0; c < 3; c++) values[c * plane + k] = picture.data[3 * k + c];
    }
    const image = new ort.Tensor("float32", values, [1, 3, size, size]);
    const outputs = await this.session.run({ image });
    const maps = outputs["maps"];
    return {
      probabilities: softmax(outputs["logits"].data as Float32Array),
      maps: maps
        ? { height: maps.dims[2], width: maps.dims[3], data: Float32Array.from(maps.data as Float32Array) }
        : null,
      milliseconds: performance.now() - began,
    };
  }
}

/** The content of a file that was written with gzip, whether or not the host has said so and the browser undone it. */
async function unpacked(url: string): Promise<ArrayBuffer> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  const content = await answer.arrayBuffer();
  const head = new Uint8Array(content, 0, 2);
  if (head[0] !== 0x1f || head[1] !== 0x8b) return content;
  return new Response(new Blob([content]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}
