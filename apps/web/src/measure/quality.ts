/** Sharpness and exposure of a photo: the formulas of mpox/curation/quality.py, on the same small grey picture. */

import { grey, Pixels } from "./pixels";
import { resizeReducing } from "./resize";

/** The limits of an audit (mpox.curation.thresholds), under the same names. */
export interface Limits {
  min_side: number;
  min_sharpness: number;
  max_bright: number;
  max_dark: number;
  max_border: number;
}

export interface Quality {
  side: number; // shorter side of the photo, pixels
  sharpness: number; // 0 blurred .. 1 sharp
  bright: number; // share of pixels burnt out
  dark: number; // share of pixels lost in the dark
  padding: number; // share of the picture that is black or white up to an edge, which neither of them counts
}

export type Fault = "small" | "blurred" | "bright" | "dark" | "padding";

const SIDE = 256;
const TAPS = 11;
const BRIGHT = 250;
const DARK = 20;
// Padding: what is darker or lighter than these and reaches an edge.
const DARKEST = 8;
const LIGHTEST = 250;

export function quality(photo: Pixels): Quality {
  const small = working(photo);
  return { side: Math.min(photo.width, photo.height), sharpness: sharpness(small), ...exposure(small) };
}

/** What is wrong with a photo, the worst first; none where it may be used. */
export function faults(of: Quality, limits: Limits): Fault[] {
  const found: Fault[] = [];
  if (of.side < limits.min_side) found.push("small");
  if (of.padding > limits.max_border) found.push("padding");
  if (of.dark > limits.max_dark) found.push("dark");
  if (of.bright > limits.max_bright) found.push("bright");
  if (of.sharpness < limits.min_sharpness) found.push("blurred");
  return found;
}

/** The photo in grey, its longest side 256 at most. */
export function working(photo: Pixels): Pixels {
  const whole = grey(photo);
  const longest = Math.max(whole.width, whole.height);
  if (longest <= SIDE) return whole;
  const scaled = (side: number): number => Math.max(1, rounded(side * (SIDE / longest)));
  return resizeReducing(whole, scaled(whole.width), scaled(whole.height), "bicubic", 3);
}

/** Half goes to the even number, as in Python. */
function rounded(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

/** What a picture loses when it is blurred, 0..1: one minus the blur effect of Crete et al. (SPIE 6492, 2007). */
export function sharpness(picture: Pixels): number {
  return Math.min(keptAlong(picture, picture.width), keptAlong(picture, 1));
}

/** `stride` between neighbours: the width for columns, 1 for rows. */
function keptAlong({ width, height, data }: Pixels, stride: number): number {
  const length = stride === 1 ? width : height;
  const lines = stride === 1 ? height : width;
  const blurred = new Float32Array(length);
  let total = 0;
  let lost = 0;
  for (let line = 0; line < lines; line++) {
    const start = stride === 1 ? line * width : line;
    blurLine(data, start, stride, blurred);
    for (let k = 1; k < length; k++) {
      const sharp = Math.abs(data[start + k * stride] - data[start + (k - 1) * stride]);
      const soft = Math.abs(blurred[k] - blurred[k - 1]);
      total += sharp;
      lost += Math.max(sharp - soft, 0);
    }
  }
  return total > 0 ? lost / total : 0;
}

/** The mean of 11 neighbours along one line; beyond an end the line is mirrored, the end itself repeated. */
function blurLine(data: Uint8Array, start: number, stride: number, out: Float32Array): void {
  const length = out.length;
  const at = (k: number): number => {
    const turn = ((k % (2 * length)) + 2 * length) % (2 * length);
    return data[start + (turn < length ? turn : 2 * length - 1 - turn) * stride];
  };
  const half = (TAPS - 1) / 2;
  let sum = 0;
  for (let k = -half; k <= half; k++) sum += at(k);
  for (let k = 0; k < length; k++) {
    out[k] = sum / TAPS;
    sum += at(k + half + 1) - at(k - half);
  }
}

/** Shares of pixels burnt out and lost in the dark, of those that are not padding; and the share of padding. */
export function exposure(picture: Pixels): { bright: number; dark: number; padding: number } {
  const padding = filled(picture);
  let shown = 0;
  let bright = 0;
  let dark = 0;
  for (let k = 0; k < padding.length; k++) {
    if (padding[k]) continue;
    shown++;
    if (picture.data[k] >= BRIGHT) bright++;
    if (picture.data[k] <= DARK) dark++;
  }
  const share = 1 - shown / padding.length;
  return { bright: shown && bright / shown, dark: shown && dark / shown, padding: share };
}

/** Black or white padding that reaches the edge, and 2 pixels around it: 1 where it is. */
function filled({ width, height, data }: Pixels): Uint8Array {
  const extreme = (k: number): boolean => data[k] <= DARKEST || data[k] >= LIGHTEST;
  const inside = new Uint8Array(width * height);
  const waiting: number[] = [];
  const visit = (x: number, y: number): void => {
    const k = y * width + x;
    if (x < 0 || y < 0 || x >= width || y >= height || inside[k] || !extreme(k)) return;
    inside[k] = 1;
    waiting.push(k);
  };
  for (let x = 0; x < width; x++) [0, height - 1].forEach((y) => visit(x, y));
  for (let y = 0; y < height; y++) [0, width - 1].forEach((x) => visit(x, y));
  for (let k = waiting.pop(); k !== undefined; k = waiting.pop()) {
    const x = k % width;
    const y = (k - x) / width;
    visit(x - 1, y);
    visit(x + 1, y);
    visit(x, y - 1);
    visit(x, y + 1);
  }
  return dilated(inside, width, height);
}

function dilated(inside: Uint8Array, width: number, height: number): Uint8Array {
  const out = new Uint8Array(inside.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!inside[y * width + x]) continue;
      for (let row = Math.max(0, y - 2); row <= Math.min(height - 1, y + 2); row++) {
        out.fill(1, row * width + Math.max(0, x - 2), row * width + Math.min(width - 1, x + 2) + 1);
      }
    }
  }
  return out;
}
