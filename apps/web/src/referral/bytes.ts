/** Bytes as text and back. */

export type Bytes = Uint8Array<ArrayBuffer>;

// Characters made at once: more would not fit a call's arguments.
const CHUNK = 0x8000;

export function utf8(text: string): Bytes {
  return new TextEncoder().encode(text) as Bytes;
}

export function base64(bytes: Bytes): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHUNK) binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  return btoa(binary);
}

export function base64url(bytes: Bytes): string {
  return base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Raises an error for what is no base64url. */
export function fromBase64url(text: string): Bytes {
  if (!/^[\w-]*$/.test(text)) throw new Error("no base64url");
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (sign) => sign.charCodeAt(0));
}
