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

/** The share sheet did not do it. */
export class ShareError extends Error {}

/** Open the share sheet; the person may close it again. Raises ShareError. */
export async function share(handed: Handed): Promise<void> {
  const file = shareable(handed);
  try {
    if (file !== null) await navigator.share({ files: [file] });
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    if (error.name !== "AbortError") throw new ShareError(error.name); // else the person closed it
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
