/** The worker: decodes, measures and asks the model, so that the page stays responsive. */

import { Answers, Request, SelfTest, Taken } from "../measure/messages";
import { Pixels } from "../measure/pixels";
import { Quality, quality } from "../measure/quality";
import { resize } from "../measure/resize";
import { Site } from "../measure/site";
import { centreSquare, jpeg, opened, Square, UnreadableError } from "./decode";
import { Network } from "./network";

declare const self: DedicatedWorkerGlobalScope;

let site: Site;
let base = "";
let network: Network;

self.onmessage = async ({ data }: MessageEvent<{ number: number; request: Request }>): Promise<void> => {
  const { number, request } = data;
  try {
    self.postMessage({ number, answer: await answer(request) });
  } catch (error) {
    self.postMessage({ number, error: String(error), unreadable: error instanceof UnreadableError });
  }
};

async function answer(request: Request): Promise<Answers[keyof Answers]> {
  switch (request.kind) {
    case "open":
      site = request.site;
      base = request.base;
      network = await Network.open(site.model, base);
      return null;
    case "selftest":
      return selfTest();
    case "photo":
      return taken(await opened(request.blob));
    case "frame":
      return taken(request.frame);
    case "watch":
      return used(request.frame, (frame) => measured(centreSquare(frame, site.model)));
    case "classify":
      return network.classify(request.picture);
  }
}

/** What `use` makes of a picture, whose memory is given back after it. */
async function used<T>(picture: ImageBitmap, use: (picture: ImageBitmap) => T | Promise<T>): Promise<T> {
  try {
    return await use(picture);
  } finally {
    picture.close();
  }
}

function taken(picture: ImageBitmap): Promise<Taken> {
  return used(picture, async () => {
    const square = centreSquare(picture, site.model);
    return { quality: measured(square), picture: workingPicture(square), jpeg: await jpeg(picture, site.model) };
  });
}

function measured(square: Square): Quality {
  return { ...quality(square.reduced), side: square.side };
}

function workingPicture(square: Square): Pixels {
  const { image_size: size, interpolation } = site.model;
  return resize(square.reduced, size, size, interpolation);
}

/** Ask the model about the golden photos, from their files on: are the answers those of the desk? */
async function selfTest(): Promise<SelfTest> {
  const began = performance.now();
  const photos = [];
  for (const { photo, probabilities } of site.golden) {
    const file = await fetch(base + photo);
    const square = await used(await opened(await file.blob()), (picture) => centreSquare(picture, site.model));
    const { probabilities: given } = await network.classify(workingPicture(square));
    photos.push({ name: photo, difference: Math.max(...probabilities.map((p, k) => Math.abs(p - given[k]))) });
  }
  const good = photos.length > 0 && photos.every(({ difference }) => difference <= site.tolerance);
  return { good, photos, milliseconds: performance.now() - began };
}
