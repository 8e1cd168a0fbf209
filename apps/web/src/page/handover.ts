/** Files that leave the phone by the person's hand: the share sheet, or saved. */

import { element } from "./dom";

/** A text as a file. Share sheets of some browsers take known kinds of file alone: it is plain text for them. */
export interface Handed {
  name: string;
  text: string;
}

/** Whether this browser shares files at all. */
export function canShare(): boolean {
  return shareable({ name: "referral.mpox", text: "{}" }) !== null;
}

/** Open the share sheet; false where the person closed it. */
export async function share(handed: Handed): Promise<boolean> {
  const file = shareable(handed);
  if (file === null) return false;
  try {
    await navigator.share({ files: [file] });
    return true;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return false;
    throw error;
  }
}

function shareable({ name, text }: Handed): File | null {
  const files = [new File([text], name, { type: "application/octet-stream" }), new File([text], `${name}.txt`, { type: "text/plain" })];
  return files.find((file) => navigator.canShare?.({ files: [file] })) ?? null;
}

export function save({ name, text }: Handed): void {
  const href = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  const link = element("a", { href, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000); // the browser may not have read it yet
}
