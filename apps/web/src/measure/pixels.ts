/** Pictures as plain arrays, 8 bits a channel, rows from the top: RGB interleaved (`channels` 3), or grey (1). */

export interface Pixels {
  width: number;
  height: number;
  channels: number;
  data: Uint8Array;
}

export function pixels(width: number, height: number, channels: number): Pixels {
  return { width, height, channels, data: new Uint8Array(width * height * channels) };
}

/** Luma of ITU-R 601 in Pillow's integer arithmetic (`Image.convert("L")`). */
export function grey(source: Pixels): Pixels {
  const out = pixels(source.width, source.height, 1);
  const from = source.data;
  for (let k = 0, at = 0; k < out.data.length; k++, at += 3) {
    out.data[k] = (from[at] * 19595 + from[at + 1] * 38470 + from[at + 2] * 7471 + 0x8000) >> 16;
  }
  return out;
}
