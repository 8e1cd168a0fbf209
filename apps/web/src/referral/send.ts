/** Sends what waits: at the start, when the network is back, and again after a while, until the server has it. */

import { confirm, contentOf, postpone, Referral, referrals } from "./queue";
import { post, ServerError } from "./server";
import { ownName, StorageError } from "./store";

// Milliseconds before the second try; doubled with each, up to the longest.
const FIRST = 5_000;
const LONGEST = 30 * 60_000;
// A server may ask for longer, but not to be left alone for good.
const DAY = 24 * 60 * 60_000;

let timer: ReturnType<typeof setTimeout> | undefined;

/** Send now, and whenever there is reason to. */
export function keepSending(): void {
  window.addEventListener("online", () => void sendNow());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") void send(); // a phone stops the clocks of what is not seen
  });
  void send();
}

/** Try all that wait, whenever they were to be tried. */
export function sendNow(): Promise<void> {
  return send(true);
}

/** Try what is due. One tab sends at a time; another waits, and then finds what is left. */
async function send(all = false): Promise<void> {
  clearTimeout(timer);
  try {
    await navigator.locks.request(`${ownName()} send`, async () => {
      for (const one of (await waiting()).filter(({ next }) => all || next <= Date.now())) await sendOne(one);
    });
    const next = Math.min(...(await waiting()).map((one) => one.next));
    clearTimeout(timer);
    if (next < Infinity) timer = setTimeout(() => void send(), Math.max(1_000, next - Date.now()));
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    // The screen of referrals reports that in words; a storage that was only busy has what waits again.
    timer = setTimeout(() => void send(), LONGEST);
  }
}

async function waiting(): Promise<Referral[]> {
  return (await referrals()).filter(({ state, server }) => state === "waiting" && server !== null);
}

async function sendOne({ id, server, tries }: Referral): Promise<void> {
  const content = await contentOf(id);
  if (content?.bundle == null || server === null) return; // removed, or confirmed, meanwhile
  try {
    await post(server, content.bundle);
    await confirm(id);
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    const wait = Math.max(Math.min(LONGEST, FIRST * 2 ** tries), Math.min(DAY, error.wait));
    await postpone(id, error.fault, Date.now() + wait);
  }
}
