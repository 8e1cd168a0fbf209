/** The worker: decodes, measures and asks the model, so that the page stays responsive. */

import { Answers, Request, SelfTest, Taken } from "../measure/messages";
import { Pixels } from "../measure/pixels";
import { quality } from "../measure/quality";
import { resize } from "../measure/resize";
import { Site } from "../measure/site";
import { centreSquare, decoded, jpeg, UnreadableError } from "./decode";
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
      return taken(await decoded(request.blob));
    case "frame":
      return taken(square(request.frame));
    case "watch":
      return quality(square(request.frame));
    case "classify":
      return network.classify(request.picture);
  }
}

function square(frame: ImageBitmap): Pixels {
  try {
    return centreSquare(frame);
  } finally {
    frame.close();
  }
}

async function taken(photo: Pixels): Promise<Taken> {
  return { quality: quality(photo), picture: workingPicture(photo), jpeg: await jpeg(photo) };
}

function workingPicture(photo: Pixels): Pixels {
  return resize(photo, site.model.image_size, site.model.image_size, site.model.interpolation);
}

/** Ask the model about the golden photos, from their files on: are the answers those of the desk? */
async function selfTest(): Promise<SelfTest> {
  const began = performance.now();
  const photos = [];
  for (const { photo, probabilities } of site.golden) {
    const file = await fetch(base + photo);
    const { probabilities: given } = await network.classify(workingPicture(await decoded(await file.blob())));
    photos.push({ name: photo, difference: Math.max(...probabilities.map((p, k) => Math.abs(p - given[k]))) });
  }
  const good = photos.length > 0 && photos.every(({ difference }) => difference <= site.tolerance);
  return { good, photos, milliseconds: performance.now() - began };
}
