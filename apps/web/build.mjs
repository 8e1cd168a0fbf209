// Bundles the app into mpox/app_files, which goes into the wheel. Run by `make app`.
import { build } from "esbuild";
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = fileURLToPath(new URL(".", import.meta.url));
const place = `${here}../../mpox/app_files`;
const aside = `${place}.new`;

rmSync(aside, { recursive: true, force: true });
mkdirSync(aside, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { main: "src/page/main.ts", worker: "src/worker/worker.ts", service: "src/worker/service.ts" },
  outdir: aside,
  bundle: true,
  format: "esm",
  target: ["chrome111", "firefox114", "safari16.4"],
  minify: true,
  legalComments: "none",
  logLevel: "warning",
});
cpSync(`${here}static`, aside, { recursive: true });
cpSync(`${here}texts`, `${aside}/texts`, { recursive: true });
// Kept packed, whatever the host: the worker unpacks it.
const runtime = readFileSync(`${here}node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm`);
writeFileSync(`${aside}/runtime.bin`, gzipSync(runtime, { level: 9 }));
rmSync(place, { recursive: true, force: true });
renameSync(aside, place);
