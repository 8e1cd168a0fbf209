/** ICC profiles (ICC.1) that describe RGB by three curves and a matrix, as those of cameras and screens do. */

/** From 0..1 to linear light: a table of 16 bits, or a function of ICC's five kinds with its parameters g a b c d e f. */
export type Curve = { table: Uint16Array } | { kind: number; parameters: number[] };

/** `colorants`: rows X, Y, Z (of D50), columns red, green, blue. */
export interface MatrixProfile {
  colorants: number[][];
  curves: Curve[];
}

const HEADER = 128;
const MOST_TAGS = 100;
// Classes of input, display, output and colour space; what is left are links between profiles, and named colours.
const CLASSES = ["scnr", "mntr", "prtr", "spac"];
// Tables that come before curves and matrix where a profile has them.
const TABLES = ["A2B0", "D2B0"];
const MOST_ENTRIES = 0x7fff;
// Parameters of each kind of function.
const PARAMETERS = [1, 3, 4, 5, 7];

/** null: another kind of profile (tables, grey, CMYK), or none that can be read. */
export function matrixProfile(profile: Uint8Array): MatrixProfile | null {
  const view = new DataView(profile.buffer, profile.byteOffset, profile.byteLength);
  if (profile.length < HEADER + 4 || name(view, 36) !== "acsp" || view.getUint8(8) > 4) return null;
  if (!CLASSES.includes(name(view, 12)) || name(view, 16) !== "RGB " || name(view, 20) !== "XYZ ") return null;
  const tags = tagsOf(view);
  if (tags === null || TABLES.some((table) => tags.has(table))) return null;
  const columns = ["rXYZ", "gXYZ", "bXYZ"].map((tag) => colorant(tags.get(tag)));
  const curves = ["rTRC", "gTRC", "bTRC"].map((tag) => curve(tags.get(tag)));
  if (!whole(columns) || !whole(curves)) return null;
  return { colorants: [0, 1, 2].map((row) => columns.map((column) => column[row])), curves };
}

/** The contents of tags by name; null where there are more than a profile may have, or one is named twice. */
function tagsOf(view: DataView): Map<string, DataView> | null {
  const count = view.getUint32(HEADER);
  if (count > MOST_TAGS || HEADER + 4 + 12 * count > view.byteLength) return null;
  const end = Math.min(view.getUint32(0), view.byteLength);
  const tags = new Map<string, DataView>();
  for (let at = HEADER + 4; at < HEADER + 4 + 12 * count; at += 12) {
    const [offset, size] = [view.getUint32(at + 4), view.getUint32(at + 8)];
    if (offset + size > end) continue;
    if (tags.has(name(view, at))) return null;
    tags.set(name(view, at), new DataView(view.buffer, view.byteOffset + offset, size));
  }
  return tags;
}

function colorant(tag: DataView | undefined): number[] | null {
  return tag && tag.byteLength >= 20 && name(tag, 0) === "XYZ " ? numbers(tag, 8, 3) : null;
}

function curve(tag: DataView | undefined): Curve | null {
  if (!tag || tag.byteLength < 12) return null;
  const type = name(tag, 0);
  if (type === "para") {
    const kind = tag.getUint16(8);
    const count = PARAMETERS[kind] ?? Infinity;
    return tag.byteLength < 12 + 4 * count ? null : { kind, parameters: numbers(tag, 12, count) };
  }
  const count = tag.getUint32(8);
  if (type !== "curv" || count > MOST_ENTRIES || tag.byteLength < 12 + 2 * count) return null;
  if (count === 0) return { kind: 0, parameters: [1] };
  if (count === 1) return { kind: 0, parameters: [tag.getUint16(12) / 256] };
  return { table: Uint16Array.from({ length: count }, (_, k) => tag.getUint16(12 + 2 * k)) };
}

/** Four letters. */
function name(view: DataView, at: number): string {
  return String.fromCharCode(...[0, 1, 2, 3].map((k) => view.getUint8(at + k)));
}

/** Numbers of 16 bits before the point and 16 after it. */
function numbers(view: DataView, at: number, count: number): number[] {
  return Array.from({ length: count }, (_, k) => view.getInt32(at + 4 * k) / 65536);
}

function whole<T>(values: (T | null)[]): values is T[] {
  return values.every((one) => one !== null);
}
