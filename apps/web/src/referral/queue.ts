/** Referrals on this phone. Each is on the disk before it is sent, and stays until the person removes it; its photos go
 * as soon as a server, or the person, says that it has arrived. */

import { Outcome } from "../measure/decision";
import { Answer } from "./answer";
import { Counted, COUNTED, countKnown, countReferred } from "./counts";
import { asked, ownName, transact } from "./store";

export interface Referral {
  id: string;
  made: string; // ISO 8601
  server: string | null; // the one that the person agreed to; null: handed over as a file
  model: string; // SHA-256
  positive: string; // the model's label that means mpox
  outcome: Outcome;
  mpox: number;
  replyKey: CryptoKey | null; // null: it was not encrypted
  state: "waiting" | "sent" | "answered";
  tries: number;
  next: number; // when it may be sent again, milliseconds since 1970
  fault: string | null; // why the last try failed: "network", "reply", or a status of HTTP
  answer: Answer | null;
}

/** What leaves the phone; it is no longer there once it has arrived. */
export interface Content {
  id: string;
  bundle: string | null; // to post, or to hand over where there is no key
  envelope: string | null; // to hand over
}

const news = new EventTarget();
const otherTabs = new BroadcastChannel(ownName());
otherTabs.onmessage = () => news.dispatchEvent(new Event("change"));

/** Call `then` after each change, in this tab or another; returns what ends that. */
export function onChange(then: () => void): () => void {
  news.addEventListener("change", then);
  return () => news.removeEventListener("change", then);
}

function changed(): void {
  news.dispatchEvent(new Event("change"));
  otherTabs.postMessage("change");
}

/** Store a new referral, and count it. Raises StorageError. */
export async function enqueue(referral: Referral, content: Content, counted: Counted): Promise<void> {
  await transact("readwrite", ["referrals", "contents", ...COUNTED], async (stores) => {
    stores("referrals").add(referral);
    await asked(stores("contents").add(content));
    await countReferred(stores, counted, referral.outcome);
  });
  changed();
}

/** All of them, the newest first. */
export async function referrals(): Promise<Referral[]> {
  const found = await transact("readonly", ["referrals"], (stores) => asked(stores("referrals").getAll() as IDBRequest<Referral[]>));
  return found.sort((one, other) => (one.made < other.made ? 1 : -1));
}

/** What leaves the phone of a referral; null where it has arrived. */
export async function contentOf(id: string): Promise<Content | null> {
  return transact("readonly", ["contents"], async (stores) => ((await asked(stores("contents").get(id))) as Content | undefined) ?? null);
}

/** A referral has arrived: its photos are deleted. */
export async function confirm(id: string): Promise<void> {
  await edit(id, (one) => ({ ...one, state: one.state === "answered" ? one.state : "sent", fault: null }), true);
}

/** It could not be sent; it may be tried again at `next`. */
export async function postpone(id: string, fault: string, next: number): Promise<void> {
  await edit(id, (one) => ({ ...one, fault, next, tries: one.tries + 1 }), false);
}

/** Keep a clinician's answer and count it; an earlier one than the one known is left out. Who answers has received it. */
export async function keepAnswer(id: string, answer: Answer): Promise<void> {
  await transact("readwrite", ["referrals", "contents", "cases"], async (stores) => {
    const one = (await asked(stores("referrals").get(id))) as Referral | undefined;
    if (one === undefined || (one.answer !== null && one.answer.issued >= answer.issued)) return;
    stores("referrals").put({ ...one, state: "answered", fault: null, answer } satisfies Referral);
    stores("contents").delete(id);
    countKnown(stores, one, answer);
  });
  changed();
}

/** Remove all of a referral from this phone. */
export async function remove(id: string): Promise<void> {
  await transact("readwrite", ["referrals", "contents"], (stores) => {
    stores("referrals").delete(id);
    stores("contents").delete(id);
  });
  changed();
}

async function edit(id: string, change: (one: Referral) => Referral, arrived: boolean): Promise<void> {
  await transact("readwrite", ["referrals", "contents"], async (stores) => {
    const one = (await asked(stores("referrals").get(id))) as Referral | undefined;
    if (one === undefined) return; // removed meanwhile
    stores("referrals").put(change(one));
    if (arrived) stores("contents").delete(id);
  });
  changed();
}
