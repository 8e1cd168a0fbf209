// The web app's referrals without a browser. Reads one line of JSON from its input: cases, and a clinic's public key;
// prints their bundles and envelopes; then reads a line with answer files, and prints what each is read as.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

import { readAnswer } from "../../apps/web/src/referral/answer_file";
import { draftOf } from "../../apps/web/src/referral/bundle";
import { seal } from "../../apps/web/src/referral/envelope";
import { Referral } from "../../apps/web/src/referral/queue";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const line = async (): Promise<any> => JSON.parse((await lines.next()).value);
const blob = (path: string | null, type: string): Blob | null => path && new Blob([readFileSync(path)], { type });

const { cases, key } = await line();
const known: Referral[] = [];
const made = [];
for (const one of cases) {
  const pictures = one.pictures.map(({ view, jpeg, map, at }: any) => ({
    view, jpeg: blob(jpeg, "image/jpeg"), map: blob(map, "image/png"), at: new Date(at),
  }));
  const { id, pseudonym, bundle } = await draftOf({ ...one, pictures, made: new Date(one.made) });
  const sealed = one.open ? null : await seal(JSON.stringify(bundle), id, key);
  known.push({ id, replyKey: sealed?.replyKey ?? null } as Referral);
  const readable = sealed && (await crypto.subtle.exportKey("raw", sealed.replyKey).then(() => true, () => false));
  made.push({ id, pseudonym, bundle, file: sealed && JSON.parse(sealed.file), readable });
}
console.log(JSON.stringify(made));
const { answers } = await line();
const read = answers.map((text: string) => readAnswer(text, known).catch((error) => ({ error: `${error.constructor.name}: ${error.message}` })));
console.log(JSON.stringify(await Promise.all(read)));
process.exit(0); // the channel between tabs would keep it running
