// The web app's arithmetic on what a test wrote: pictures as raw RGB, and probabilities. Prints its results as JSON.
import { readFileSync, writeFileSync } from "node:fs";

import { decide, mean, softmax } from "../../apps/web/src/measure/decision";
import { Pixels } from "../../apps/web/src/measure/pixels";
import { quality, working } from "../../apps/web/src/measure/quality";
import { box, cutOf, resize } from "../../apps/web/src/measure/resize";

const folder = process.argv[2];
const asked = JSON.parse(readFileSync(`${folder}/asked.json`, "utf8"));

function photo(name: string, width: number, height: number): Pixels {
  return { width, height, channels: 3, data: new Uint8Array(readFileSync(`${folder}/${name}.rgb`)) };
}

/** As the app's worker does, without a browser's canvas between. */
function workingPicture(source: Pixels, size: number, boxed: boolean, filter: "bilinear" | "bicubic" | "lanczos"): Pixels {
  const { left, top, side, factor } = cutOf(source.width, source.height, size, boxed);
  const rgba = new Uint8ClampedArray(4 * side * side);
  for (let y = 0, to = 0; y < side; y++) {
    for (let x = 0; x < side; x++, to += 4) {
      const from = 3 * ((top + y) * source.width + left + x);
      rgba.set(source.data.subarray(from, from + 3), to);
    }
  }
  const reduced = { width: side / factor, height: side / factor, channels: 3, data: new Uint8Array(3 * (side / factor) ** 2) };
  box(rgba, side, factor, reduced, 0);
  return resize(reduced, size, size, filter);
}

const photos = asked.photos.map(({ name, width, height, size, filter, boxed }: any) => {
  const source = photo(name, width, height);
  writeFileSync(`${folder}/${name}.picture`, workingPicture(source, size, boxed, filter).data);
  writeFileSync(`${folder}/${name}.grey`, working(source).data);
  return quality(source);
});
const decisions = asked.decisions.map(({ probabilities, positive, rule }: any) => decide(probabilities, positive, rule));
const means = asked.decisions.map(({ probabilities }: any) => mean([probabilities, probabilities.slice().reverse()]));
console.log(JSON.stringify({ photos, decisions, means, softmax: asked.logits.map((one: number[]) => [...softmax(one)]) }));
