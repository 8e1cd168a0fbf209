/** Pillow's antialiased resize and its box reduction, in the same integer arithmetic, so that pixels are equal. */

import { Pixels, pixels } from "./pixels";

export type Filter = "bilinear" | "bicubic" | "lanczos";

// Bits after the point of the coefficients: what is left of 32 by 8 bits of a pixel and 2 of overshoot.
const PRECISION = 22;

const KERNELS: Record<Filter, { reach: number; at: (x: number) => number }> = {
  bilinear: { reach: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { reach: 2, at: (x) => cubic(Math.abs(x)) },
  lanczos: { reach: 3, at: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** A centre square of a photo and the factor of the box that comes before the filter. */
export interface Cut {
  left: number;
  top: number;
  side: number;
  factor: number;
}

/** The square that is cut out of a photo for a working picture of `size`; `boxed`: in two steps, the box first. */
export function cutOf(width: number, height: number, size: number, boxed: boolean): Cut {
  const shorter = Math.min(width, height);
  let factor = 1;
  while (boxed && Math.floor(shorter / (2 * factor)) >= 2 * size) factor *= 2;
  const side = Math.floor(shorter / factor) * factor;
  return { left: Math.floor((width - side) / 2), top: Math.floor((height - side) / 2), side, factor };
}

/** Add the box means of some rows of RGBA, whole blocks of `factor` rows, to `out` from its row `row` on. */
export function box(rgba: Uint8ClampedArray, width: number, factor: number, out: Pixels, row: number): void {
  const shift = 2 * Math.log2(factor);
  const half = (factor * factor) >> 1;
  const rows = rgba.length / (4 * width * factor);
  for (let y = 0, to = row * out.width * 3; y < rows; y++) {
    for (let x = 0; x < out.width; x++) {
      let red = half;
      let green = half;
      let blue = half;
      for (let line = 0; line < factor; line++) {
        const start = 4 * ((y * factor + line) * width + x * factor);
        for (let at = start; at < start + 4 * factor; at += 4) {
          red += rgba[at];
          green += rgba[at + 1];
          blue += rgba[at + 2];
        }
      }
      out.data[to++] = red >> shift;
      out.data[to++] = green >> shift;
      out.data[to++] = blue >> shift;
    }
  }
}

/** Resize to `width` x `height`; of the source its part from the upper left corner, `spanX` x `spanY` pixels. */
export function resize(
  source: Pixels,
  width: number,
  height: number,
  filter: Filter,
  spanX = source.width,
  spanY = source.height,
): Pixels {
  const wide = width === source.width && spanX === source.width ? source : alongRows(source, width, filter, spanX);
  return height === source.height && spanY === source.height ? wide : alongColumns(wide, height, filter, spanY);
}

/** The mean of every `factor` x `factor` pixels (`Image.reduce`); the last row and column may be of fewer. */
export function reduce(source: Pixels, factorX: number, factorY = factorX): Pixels {
  if (factorX === 1 && factorY === 1) return source;
  const { channels, data } = source;
  const out = pixels(Math.ceil(source.width / factorX), Math.ceil(source.height / factorY), channels);
  for (let y = 0, at = 0; y < out.height; y++) {
    const top = y * factorY;
    const bottom = Math.min(top + factorY, source.height);
    for (let x = 0; x < out.width; x++) {
      const left = x * factorX;
      const right = Math.min(left + factorX, source.width);
      const count = (bottom - top) * (right - left);
      const multiplier = Math.floor(2 ** 24 / count);
      for (let c = 0; c < channels; c++, at++) {
        let sum = count >> 1;
        for (let row = top; row < bottom; row++) {
          const start = row * source.width * channels + c;
          for (let column = left; column < right; column++) sum += data[start + column * channels];
        }
        out.data[at] = Math.floor((sum * multiplier) / 2 ** 24);
      }
    }
  }
  return out;
}

/** `Image.resize(..., reducing_gap=gap)`: first reduced by a whole factor, where the picture is much larger. */
export function resizeReducing(source: Pixels, width: number, height: number, filter: Filter, gap: number): Pixels {
  const factorX = Math.floor(source.width / width / gap) || 1;
  const factorY = Math.floor(source.height / height / gap) || 1;
  const reduced = reduce(source, factorX, factorY);
  return resize(reduced, width, height, filter, source.width / factorX, source.height / factorY);
}

function alongRows(source: Pixels, width: number, filter: Filter, span: number): Pixels {
  const { channels, data } = source;
  const out = pixels(width, source.height, channels);
  const taps = coefficients(source.width, span, width, filter);
  for (let y = 0; y < source.height; y++) {
    const row = y * source.width * channels;
    for (let x = 0; x < width; x++) {
      const { first, weights } = taps[x];
      const place = (y * width + x) * channels;
      for (let c = 0; c < channels; c++) {
        let sum = 1 << (PRECISION - 1);
        for (let k = 0, at = row + first * channels + c; k < weights.length; k++, at += channels) {
          sum = (sum + Math.imul(data[at], weights[k])) | 0;
        }
        out.data[place + c] = clipped(sum >> PRECISION);
      }
    }
  }
  return out;
}

function alongColumns(source: Pixels, height: number, filter: Filter, span: number): Pixels {
  const { channels, data } = source;
  const out = pixels(source.width, height, channels);
  const taps = coefficients(source.height, span, height, filter);
  const step = source.width * channels;
  for (let y = 0; y < height; y++) {
    const { first, weights } = taps[y];
    for (let x = 0; x < step; x++) {
      let sum = 1 << (PRECISION - 1);
      for (let k = 0, at = first * step + x; k < weights.length; k++, at += step) {
        sum = (sum + Math.imul(data[at], weights[k])) | 0;
      }
      out.data[y * step + x] = clipped(sum >> PRECISION);
    }
  }
  return out;
}

interface Taps {
  first: number;
  weights: Int32Array;
}

function coefficients(size: number, span: number, out: number, filter: Filter): Taps[] {
  const { reach, at } = KERNELS[filter];
  const scale = span / out;
  const stretch = Math.max(scale, 1);
  const support = reach * stretch;
  return Array.from({ length: out }, (_, k) => {
    const centre = (k + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(size, Math.trunc(centre + support + 0.5));
    const exact = Array.from({ length: last - first }, (_, x) => at((x + first - centre + 0.5) * (1 / stretch)));
    const total = exact.reduce((sum, one) => sum + one, 0);
    const fixed = exact.map((one) => (total === 0 ? one : one / total) * 2 ** PRECISION);
    return { first, weights: Int32Array.from(fixed, (one) => Math.trunc(one < 0 ? one - 0.5 : one + 0.5)) };
  });
}

function clipped(value: number): number {
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

function cubic(x: number): number {
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}
