/** A clinician's answer, read from what a clinic or a server gives: text of limited length, nothing else. */

import { MPOX } from "./codes";

export interface Answer {
  issued: string; // ISO 8601
  by: string;
  label: string; // what the clinician chose; "cannot tell" where they could not
  mpox: boolean; // whether it is coded as mpox
  text: string; // to the person
}

/** What is no answer, or not one to this referral. */
export class AnswerError extends Error {}

const LONGEST = 4000;
// The others are not finished yet, or were taken back.
const FINISHED = ["final", "amended", "corrected", "appended"];

type Plain = Record<string, unknown>;

/** The answer in a bundle of a clinic to referral `id`. Raises AnswerError. */
export function answerIn(bundle: unknown, id: string): Answer {
  if (referralOf(bundle) !== id) throw new AnswerError("another referral's");
  const report = resources(bundle).find((one) => one["resourceType"] === "DiagnosticReport");
  if (report === undefined) throw new AnswerError("no report");
  return answerOf(report);
}

/** The referral that a bundle answers; null for none. */
export function referralOf(bundle: unknown): string | null {
  const task = resources(bundle).find((one) => one["resourceType"] === "Task");
  for (const { system, value } of list(task?.["identifier"])) {
    const found = /^urn:uuid:([0-9a-f-]{36})$/.exec(String(value));
    if (system === "urn:ietf:rfc:3986" && found) return found[1];
  }
  return null;
}

/** Whether a Task is that of referral `id`. */
export function isOf(task: unknown, id: string): boolean {
  return list(plain(task)["identifier"]).some(({ system, value }) => system === "urn:ietf:rfc:3986" && value === `urn:uuid:${id}`);
}

/** A DiagnosticReport as an answer. Raises AnswerError for one that is not finished or says nothing. */
export function answerOf(report: unknown): Answer {
  const given = plain(report);
  if (given["resourceType"] !== "DiagnosticReport" || !FINISHED.includes(String(given["status"]))) throw new AnswerError("no final report");
  const code = plain(list(given["conclusionCode"])[0]);
  const label = words(code["text"]);
  if (!label) throw new AnswerError("no conclusion");
  const issued = new Date(String(given["issued"]));
  if (Number.isNaN(issued.getTime())) throw new AnswerError("no date");
  return {
    issued: issued.toISOString(),
    by: words(plain(list(given["performer"])[0])["display"]),
    label,
    mpox: list(code["coding"]).some(({ system, code: one }) => system === MPOX.system && one === MPOX.code),
    text: words(given["conclusion"]),
  };
}

/** Resources of a bundle; none for anything else. */
export function resources(bundle: unknown): Plain[] {
  return list(plain(bundle)["entry"]).map((entry) => plain(entry["resource"]));
}

export function plain(value: unknown): Plain {
  return typeof value === "object" && value !== null ? (value as Plain) : {};
}

export function list(value: unknown): Plain[] {
  return Array.isArray(value) ? value.map(plain) : [];
}

function words(value: unknown): string {
  return typeof value === "string" ? value.slice(0, LONGEST).trim() : "";
}
