/** A file of a clinic: the answer to one of the referrals of this phone. */

import { Answer, AnswerError, answerIn, plain, referralOf } from "./answer";
import { unseal } from "./envelope";
import { Referral } from "./queue";

/** The answer in a file's text, and to which of `known` it is. Raises AnswerError. */
export async function readAnswer(text: string, known: Referral[]): Promise<{ id: string; answer: Answer }> {
  const content = plain(parsed(text));
  const sealed = content["format"] === "mpox-answer";
  const id = sealed ? content["id"] : referralOf(content);
  const one = known.find((referral) => referral.id === id);
  if (one === undefined) throw new AnswerError("unknown");
  if (!sealed) {
    // To an encrypted referral anybody could have written it: the answer must be too.
    if (one.replyKey !== null) throw new AnswerError("not encrypted");
    return { id: one.id, answer: answerIn(content, one.id) };
  }
  const { version, iv, ciphertext } = content;
  if (version !== 1 || typeof iv !== "string" || typeof ciphertext !== "string" || one.replyKey === null) throw new AnswerError("format");
  let opened: string;
  try {
    opened = await unseal({ iv, ciphertext }, one.id, one.replyKey);
  } catch (error) {
    throw new AnswerError(`does not open: ${String(error)}`);
  }
  return { id: one.id, answer: answerIn(parsed(opened), one.id) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AnswerError("no JSON");
  }
}
