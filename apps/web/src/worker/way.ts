/** Which way a photo's colours become sRGB: as on the desk to the last bit, or by the browser, which rounds differently. */

import { Conversion, exact } from "../measure/colour";
import { Colours } from "../measure/messages";
import { matrixProfile } from "../measure/profile";
import { embeddedProfile } from "./embedded";

export interface Way {
  colours: Colours;
  decoding: ColorSpaceConversion; // what the browser is to do while it decodes
  convert: Conversion | null; // what is then left to do
}

// A PNG of one pixel in Display P3, and its values as they are stored; in sRGB they would be 217, 42, 23.
const SAMPLE =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAA8GlDQ1BQMwAAeNpjYGD8wgAELECcm1dSFOTupBARGaXAgAQSk4sLGPCCb9cYGEH0ZV0G" +
  "0gFnSmpxMpD+AMQGyQVFJQwMjCD7lYqADgGyXYBskXQIOwLEToKwc0Ds8pICkPoGELsoJMgZyJ4CZCukQ9hbQOwkCPsKiJ2bU5oMtRfkYp7UvNBgkF4g" +
  "lmFwYchkKGYoYMhhSGSoZFBgCGAwxqGeDazeGQgNGBgQ4dV8n4HBdv////93I8S89jMwbDRnYODaiRDTsGBgEORmYDiBJIYIw4LEokSwEDMQM6WlMTB8" +
  "Ws7AwBvJwCB8AWhONKXyAI2iSvyGeEXFAAAADElEQVR42mM4YaMBAAL8AS3Bfun7AAAAAElFTkSuQmCC";
const STORED = [200, 60, 40];

let sampled: Promise<boolean> | null = null;

export async function wayOf(file: Blob): Promise<Way> {
  const profile = await embeddedProfile(file);
  if (profile === null) return { colours: "none", decoding: "default", convert: null };
  const matrix = matrixProfile(profile);
  const found = matrix && exact(matrix);
  if (found === null || !(await givesStoredValues())) return { colours: "browser", decoding: "default", convert: null };
  return { colours: "exact", decoding: "none", convert: found.convert };
}

/** Does this browser decode without its own conversion where it is asked to? Found out once, on a sample. */
export function givesStoredValues(): Promise<boolean> {
  sampled ??= sample();
  return sampled;
}

async function sample(): Promise<boolean> {
  const bytes = Uint8Array.from(atob(SAMPLE), (letter) => letter.charCodeAt(0));
  try {
    const file = new Blob([bytes], { type: "image/png" });
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
    const context = new OffscreenCanvas(1, 1).getContext("2d", { colorSpace: "srgb" });
    context?.drawImage(bitmap, 0, 0);
    bitmap.close();
    const seen = context?.getImageData(0, 0, 1, 1).data;
    return STORED.every((value, k) => seen?.[k] === value);
  } catch {
    return false; // the browser's way is then the one that is left, and said
  }
}
