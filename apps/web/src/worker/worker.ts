/** The worker: decodes, measures and asks the model, so that the page stays responsive. */

import { Answers, Request, SelfTest, Taken, Tested } from "../measure/messages";
import { Pixels } from "../measure/pixels";
import { Quality, quality } from "../measure/quality";
import { resize } from "../measure/resize";
import { Golden, Site } from "../measure/site";
import { centreSquare, jpeg, opened, Photo, Square, UnreadableError } from "./decode";
import { Network } from "./network";
import { givesStoredValues } from "./way";

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
      return selfTest(request.all);
    case "photo":
      return taken(await opened(request.blob));
    case "frame":
      return taken(ofCamera(request.frame));
    case "watch":
      return used(ofCamera(request.frame), (frame) => measured(centreSquare(frame, site.model)));
    case "classify":
      return network.classify(request.picture);
  }
}

function ofCamera(bitmap: ImageBitmap): Photo {
  return { bitmap, colours: "none", convert: null };
}

/** What `use` makes of a photo, whose memory is given back after it. */
async function used<T>(photo: Photo, use: (photo: Photo) => T | Promise<T>): Promise<T> {
  try {
    return await use(photo);
  } finally {
    photo.bitmap.close();
  }
}

function taken(photo: Photo): Promise<Taken> {
  return used(photo, async () => {
    const square = centreSquare(photo, site.model);
    const picture = workingPicture(square);
    return { quality: measured(square), picture, colours: photo.colours, jpeg: await jpeg(photo, site.model) };
  });
}

function measured(square: Square): Quality {
  return { ...quality(square.reduced), side: square.side };
}

function workingPicture(square: Square): Pixels {
  const { image_size: size, interpolation } = site.model;
  return resize(square.reduced, size, size, interpolation);
}

/** Are the golden photos, from their files on, seen and answered as on the desk? */
async function selfTest(all: boolean): Promise<SelfTest> {
  const began = performance.now();
  const photos: Tested[] = [];
  for (const golden of site.golden) {
    if (golden.kept || all) photos.push(await tested(golden));
  }
  const limits = { answer: site.tolerance, picture: site.level_tolerance };
  const good = photos.length > 0 && photos.every((one) => one.difference === null || one.difference <= limits[one.of]);
  const colours = (await givesStoredValues()) ? "exact" : "browser";
  return { good, photos, colours, milliseconds: performance.now() - began };
}

async function tested({ photo, picture, probabilities, kept }: Golden): Promise<Tested> {
  const of = picture === null ? "answer" : "picture";
  const name = photo;
  const seen = await fetched(photo, kept);
  if (seen === null) return { name, of, difference: null };
  if (picture === null) {
    const { probabilities: given } = await network.classify(workingPicture(seen));
    return { name, of, difference: Math.max(...probabilities.map((p, k) => Math.abs(p - given[k]))) };
  }
  const expected = await fetched(picture, kept);
  if (expected === null) return { name, of, difference: null };
  const { data } = workingPicture(seen);
  const total = expected.reduced.data.reduce((sum, value, k) => sum + Math.abs(value - data[k]), 0);
  return { name, of, difference: total / data.length };
}

/** A golden photo's centre square; null for one that the phone does not keep and cannot fetch now. */
async function fetched(path: string, kept: boolean): Promise<Square | null> {
  try {
    const file = await fetch(base + path);
    if (!file.ok) throw new Error(`${path}: ${file.status}`);
    return await used(await opened(await file.blob()), (seen) => centreSquare(seen, site.model));
  } catch (error) {
    if (kept || error instanceof UnreadableError) throw error;
    return null;
  }
}
