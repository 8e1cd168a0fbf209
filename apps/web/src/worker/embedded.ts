/** The ICC profile that a photo's file carries: a JPEG in its APP2 segments, a PNG in its chunk iCCP. */

// What comes before the picture's data is looked through as far as this, bytes.
const HEAD = 1 << 24;
// A PNG's profile is unpacked up to this, bytes, as on the desk.
const LARGEST = 1 << 20;
const PNG = "\x89PNG\r\n\x1a\n";
const ICC = "ICC_PROFILE\0";

/** null: the file has none, or none that is whole; other formats are not looked into. */
export async function embeddedProfile(file: Blob): Promise<Uint8Array | null> {
  const head = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  if (head[0] === 0xff && head[1] === 0xd8) return ofJpeg(head);
  return text(head, 0, PNG.length) === PNG ? ofPng(head) : null;
}

/** Parts, each with its number and how many there are, in any order. */
function ofJpeg(head: Uint8Array): Uint8Array | null {
  const parts: Uint8Array[] = [];
  for (let at = 2; head[at] === 0xff; ) {
    const marker = head[at + 1];
    if (marker === 0xff) {
      at++; // filling
      continue;
    }
    const length = 256 * head[at + 2] + head[at + 3];
    if (marker === 0xda || marker === 0xd9 || !(at + 2 + length <= head.length)) break; // the picture's data, or the end
    if (marker === 0xe2 && text(head, at + 4, ICC.length) === ICC) {
      parts.push(head.subarray(at + 4 + ICC.length, at + 2 + length));
    }
    at += 2 + length;
  }
  parts.sort((one, other) => one[0] - other[0]);
  return parts.length > 0 && parts[0][1] === parts.length ? joined(parts.map((part) => part.subarray(2))) : null;
}

async function ofPng(head: Uint8Array<ArrayBuffer>): Promise<Uint8Array | null> {
  const view = new DataView(head.buffer);
  for (let at = PNG.length; at + 8 <= head.length; ) {
    const length = view.getUint32(at);
    const kind = text(head, at + 4, 4);
    if (kind === "IDAT" || at + 12 + length > head.length) break;
    if (kind === "iCCP") {
      const content = head.subarray(at + 8, at + 8 + length);
      return unpacked(content.subarray(content.indexOf(0) + 2)); // behind its name and the method, of which there is one
    }
    at += 12 + length;
  }
  return null;
}

async function unpacked(packed: Uint8Array<ArrayBuffer>): Promise<Uint8Array | null> {
  const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      parts.push(next.value);
      size += next.value.length;
      if (size > LARGEST) {
        void reader.cancel();
        return null;
      }
    }
  } catch {
    return null; // not what it says it is
  }
  return joined(parts);
}

function joined(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function text(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}
