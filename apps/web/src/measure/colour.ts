/**
 * From a photo's own colour space to sRGB as the desk does it, in the arithmetic of the library that the desk uses, so
 * that pixels are equal.
 *
 * The method is that of Little CMS 2 (MIT licence, https://github.com/mm2/Little-CMS) for 8 bits of RGB to 8 bits of RGB,
 * perceptual: its optimisation of curves, a matrix and curves (src/cmsopt.c), with its tone curves (src/cmsgamma.c), its
 * rounding (src/lcms2_internal.h) and its sRGB (src/cmsvirt.c). Which profiles change nothing is the rule of
 * mpox/data/colour.py.
 */

import { Curve, MatrixProfile } from "./profile";

/** Converts rows of RGBA in place. */
export type Conversion = (rgba: Uint8ClampedArray) => void;

// XYZ (of D50) of sRGB's primaries: rows X, Y, Z. Rec. 709 with a white of .3127, .3290, adapted by Bradford's matrix.
const SRGB = [
  [0.43604125161605084, 0.3851129107981557, 0.14304583758579362],
  [0.22248454022947742, 0.7169050786084579, 0.060610381162065304],
  [0.013920187471375375, 0.09706723869712407, 0.713912573831501],
];
// sRGB's curve: (a x + b) ^ g from d on, c x below.
const [G, A, B, C, D] = [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045];
// Linear light is held with so many bits after the point.
const BITS = 14;
const ONE = 1 << BITS;
// A factor of a curve that is nearer to 0 than this is 0.
const NOTHING = 0.0001;
// X, Y and Z of the lightest black that the library surely leaves alone. It shifts lighter ones, whose shifts of X, Y and Z sum
// to .002, and then uses a table of colours in place of curves and a matrix.
const BLACK = 0.0004;
// Of 255: profiles that change no colour by more are sRGB under another name (SAME of mpox/data/colour.py).
const SAME = 4;
const STEPS = 17;
// 1.5 * 2 ** 36: a sum with it keeps 16 bits after the point.
const SIXTEEN_BITS = 103079215104;

/** `convert`: null where the photo's values stay as they are. */
export interface Exact {
  convert: Conversion | null;
}

/** How pixels of a profile become sRGB; null for one that the library converts by a table of colours. */
export function exact({ curves, colorants }: MatrixProfile): Exact | null {
  const black = colorants.map((row) => row.reduce((sum, share, k) => sum + share * linear(curves[k], 0), 0));
  if (!black.every((one) => Math.abs(one) < BLACK)) return null;
  const back = inverse(SRGB);
  const matrix = back.map((row) => [0, 1, 2].map((k) => row.reduce((sum, one, j) => sum + one * colorants[j][k], 0)));
  // Where the matrix does nothing to 1/65535 the library joins the curves instead; no profile's numbers, of 16 bits after
  // the point, come so near to its own sRGB.
  const convert = byMatrix(curves, matrix);
  return { convert: changes(convert) ? convert : null };
}

/** The curves, the matrix in whole numbers (32 bits, which wrap around), sRGB's curve. */
function byMatrix(curves: Curve[], matrix: number[][]): Conversion {
  const fixed = (value: number): number => (value < 2 ** 17 ? Math.floor(value * ONE + 0.5) : 0x7fffffff);
  const [red, green, blue] = curves.map((one) =>
    Int32Array.from({ length: 256 }, (_, k) => fixed(linear(one, k))),
  );
  const [rr, rg, rb, gr, gg, gb, br, bg, bb] = matrix.flat().map(fixed);
  const level = Uint8Array.from({ length: ONE + 1 }, (_, k) => eight(word(encoded(Math.fround(k / ONE)) * 65535)));
  const half = ONE >> 1;
  const at = (sum: number): number => {
    const value = sum >> BITS;
    return level[value < 0 ? 0 : value > ONE ? ONE : value];
  };
  return (rgba) => {
    for (let k = 0; k < rgba.length; k += 4) {
      const r = red[rgba[k]];
      const g = green[rgba[k + 1]];
      const b = blue[rgba[k + 2]];
      rgba[k] = at(Math.imul(rr, r) + Math.imul(rg, g) + Math.imul(rb, b) + half);
      rgba[k + 1] = at(Math.imul(gr, r) + Math.imul(gg, g) + Math.imul(gb, b) + half);
      rgba[k + 2] = at(Math.imul(br, r) + Math.imul(bg, g) + Math.imul(bb, b) + half);
    }
  };
}

/** Does it change a colour, of those spread over the cube, by more than a profile of sRGB would? */
function changes(convert: Conversion): boolean {
  const steps = Array.from({ length: STEPS }, (_, k) => Math.round((255 * k) / (STEPS - 1)));
  const colours = Uint8ClampedArray.from(steps.flatMap((r) => steps.flatMap((g) => steps.flatMap((b) => [r, g, b, 255]))));
  const converted = colours.slice();
  convert(converted);
  return converted.some((value, k) => Math.abs(value - colours[k]) > SAME);
}

/** Linear light of a value 0..255. */
function linear(curve: Curve, value: number): number {
  if ("table" in curve) return Math.fround(between(curve.table, 257 * value) / 65535);
  return Math.fround(computed(curve.kind, curve.parameters, Math.fround(value / 255)));
}

function computed(kind: number, [g, a, b, c, d, e, f]: number[], x: number): number {
  const power = (): number => (a * x + b > 0 ? (a * x + b) ** g : 0);
  switch (kind) {
    case 0:
      return x ** g;
    case 1:
      return Math.abs(a) < NOTHING || x < -b / a ? 0 : power();
    case 2:
      if (Math.abs(a) < NOTHING) return 0;
      if (x < Math.max(0, -b / a)) return c;
      return a * x + b > 0 ? power() + c : 0;
    case 3:
      return x >= d ? power() : c * x;
    default:
      return x >= d ? power() + e : c * x + f;
  }
}

/** sRGB's value of linear light. */
function encoded(light: number): number {
  return Math.fround(light >= (A * D + B) ** G ? (light ** (1 / G) - B) / A : light / C);
}

/** The value of a table of 16 bits at 0..65535, between its entries. */
function between(table: Uint16Array, at: number): number {
  const last = table.length - 1;
  if (at === 65535) return table[last];
  const place = last * at + Math.floor((last * at + 0x7fff) / 0xffff); // 16 bits after the point
  const low = table[place >> 16];
  return (((Math.imul(table[(place >> 16) + 1] - low, place & 0xffff) + 0x8000) >> 16) + low) & 0xffff;
}

/** To whole numbers of 16 bits. */
function word(value: number): number {
  if (!(value + 0.5 > 0)) return 0;
  if (value + 0.5 >= 65535) return 65535;
  return Math.floor(value + 0.5 - 32767 + SIXTEEN_BITS - SIXTEEN_BITS) + 32767;
}

/** From 16 bits to 8. */
function eight(value: number): number {
  return Math.floor((value * 65281 + 2 ** 23) / 2 ** 24);
}

function inverse(m: number[][]): number[][] {
  const minor = (i: number, j: number): number => {
    const [up, down, left, right] = [(i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3];
    return m[up][left] * m[down][right] - m[up][right] * m[down][left];
  };
  const determinant = m[0].reduce((sum, one, j) => sum + one * minor(0, j), 0);
  return m.map((row, i) => row.map((_, j) => minor(j, i) / determinant));
}
