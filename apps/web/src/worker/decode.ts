/** From a picture to the pixels of its centre square: upright, sRGB, transparency on white, reduced by the box. */

import { Conversion } from "../measure/colour";
import { Colours } from "../measure/messages";
import { Pixels, pixels } from "../measure/pixels";
import { box, Cut, cutOf } from "../measure/resize";
import { Model } from "../measure/site";
import { wayOf } from "./way";

// Rows that are read back at once: phones limit the size of a canvas, and few hold one of a whole photo.
const STRIP = 256;
// Above this a browser may end for lack of memory; the desk reads such photos at half their side.
const MOST_PIXELS = 80_000_000;
// Longest side, and quality, of the JPEG that people look at, which is also what a referral holds.
const SHOWN = 2048;
const QUALITY = 0.9;

export class UnreadableError extends Error {}

/** A decoded picture; where `convert` is given its values are those of its own colour space until they are read. */
export interface Photo {
  bitmap: ImageBitmap;
  colours: Colours;
  convert: Conversion | null;
}

/** A photo's centre square: its side in the photo, its pixels as the filter takes them. */
export interface Square {
  side: number;
  reduced: Pixels;
}

export async function opened(blob: Blob): Promise<Photo> {
  const photo = await decoded(blob);
  if (photo.bitmap.width * photo.bitmap.height <= MOST_PIXELS) return photo;
  photo.bitmap.close();
  throw new UnreadableError("too many pixels");
}

async function decoded(blob: Blob): Promise<Photo> {
  try {
    const { colours, decoding, convert } = await wayOf(blob);
    const options: ImageBitmapOptions = { imageOrientation: "from-image", colorSpaceConversion: decoding };
    return { bitmap: await createImageBitmap(blob, options), colours, convert };
  } catch (error) {
    throw new UnreadableError(String(error));
  }
}

export function centreSquare({ bitmap, convert }: Photo, model: Model): Square {
  const { left, top, side, factor } = cut(bitmap, model);
  const out = pixels(side / factor, side / factor, 3);
  const rows = Math.min(STRIP - (STRIP % factor) || factor, side);
  const context = canvas(side, rows);
  context.imageSmoothingEnabled = false;
  for (let first = 0; first < side; first += rows) {
    const height = Math.min(rows, side - first);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, side, height);
    context.drawImage(bitmap, left, top + first, side, height, 0, 0, side, height);
    const { data } = context.getImageData(0, 0, side, height);
    convert?.(data);
    box(data, side, factor, out, first / factor);
  }
  return { side, reduced: out };
}

/** A JPEG of the centre square made from pixels alone: nothing else of the file that it came from is in it. */
export async function jpeg({ bitmap, convert }: Photo, model: Model): Promise<Blob> {
  const { left, top, side } = cut(bitmap, model);
  const shown = Math.min(side, SHOWN);
  const context = canvas(shown, shown);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, shown, shown);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, left, top, side, side, 0, 0, shown, shown);
  if (convert) {
    const square = context.getImageData(0, 0, shown, shown);
    convert(square.data);
    context.putImageData(square, 0, 0);
  }
  return context.canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
}

function cut(bitmap: ImageBitmap, model: Model): Cut {
  return cutOf(bitmap.width, bitmap.height, model.image_size, model.resize === "two_step");
}

function canvas(width: number, height: number): OffscreenCanvasRenderingContext2D {
  const made = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (made === null) throw new Error("this browser gives no canvas in a worker");
  return made;
}
