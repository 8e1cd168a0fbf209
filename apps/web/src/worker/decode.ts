/** From a picture file to the pixels of its centre square: upright, sRGB, transparency on white. */

import { Pixels, pixels } from "../measure/pixels";

// Rows that are read back at once: phones limit the size of a canvas.
const STRIP = 256;
// Above this a browser may end for lack of memory; the desk reads such photos at half their side.
const MOST_PIXELS = 80_000_000;

export class UnreadableError extends Error {}

export async function decoded(blob: Blob): Promise<Pixels> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "default" });
  } catch (error) {
    throw new UnreadableError(String(error));
  }
  try {
    if (bitmap.width * bitmap.height > MOST_PIXELS) throw new UnreadableError("too many pixels");
    return centreSquare(bitmap);
  } finally {
    bitmap.close();
  }
}

export function centreSquare(bitmap: ImageBitmap): Pixels {
  const side = Math.min(bitmap.width, bitmap.height);
  const left = Math.floor((bitmap.width - side) / 2);
  const top = Math.floor((bitmap.height - side) / 2);
  const out = pixels(side, side, 3);
  const rows = Math.min(STRIP, side);
  const canvas = new OffscreenCanvas(side, rows);
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (context === null) throw new Error("this browser gives no canvas in a worker");
  context.imageSmoothingEnabled = false;
  for (let first = 0, at = 0; first < side; first += rows) {
    const height = Math.min(rows, side - first);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, side, height);
    context.drawImage(bitmap, left, top + first, side, height, 0, 0, side, height);
    const read = context.getImageData(0, 0, side, height).data;
    for (let k = 0; k < read.length; k += 4, at += 3) {
      out.data[at] = read[k];
      out.data[at + 1] = read[k + 1];
      out.data[at + 2] = read[k + 2];
    }
  }
  return out;
}

/** A JPEG made from pixels alone, at most `longest` pixels a side: nothing of the file it came from is in it. */
export async function jpeg(source: Pixels): Promise<Blob> {
  const canvas = new OffscreenCanvas(source.width, source.height);
  const context = canvas.getContext("2d");
  if (context === null) throw new Error("this browser gives no canvas in a worker");
  const image = context.createImageData(source.width, source.height);
  for (let k = 0, at = 0; k < image.data.length; k += 4, at += 3) {
    image.data[k] = source.data[at];
    image.data[k + 1] = source.data[at + 1];
    image.data[k + 2] = source.data[at + 2];
    image.data[k + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
}
