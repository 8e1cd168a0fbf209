/** A FHIR server asked: to take a referral, and for the answer to one. */

import { Answer, answerOf, AnswerError, isOf, list, plain, resources } from "./answer";

const JSON_TYPE = "application/fhir+json";
// A case is some megabytes, and a phone's network may be slow.
const LONGEST_POST = 15 * 60_000;
const LONGEST_GET = 60_000;
const IDENTIFIER = "urn:ietf:rfc:3986|urn:uuid:";

/**
 * Why a server did not do what it was asked: "network", "reply" (it is not what FHIR has), or its status of HTTP; and how
 * many milliseconds it asks to be left alone.
 */
export class ServerError extends Error {
  constructor(
    readonly fault: string,
    why: unknown = fault,
    readonly wait = 0,
  ) {
    super(String(why));
  }
}

/** Post a transaction, until the server has said that every entry is there. Raises ServerError. */
export async function post(server: string, bundle: string): Promise<void> {
  const reply = await request(server, { method: "POST", body: bundle, headers: { "Content-Type": JSON_TYPE, Accept: JSON_TYPE } }, LONGEST_POST);
  const statuses = list(plain(reply)["entry"]).map((entry) => String(plain(entry["response"])["status"]));
  const posted = (JSON.parse(bundle) as { entry: unknown[] }).entry.length;
  // 200: it was there already, from a try whose reply did not come back.
  const taken = statuses.length === posted && statuses.every((status) => /^20[01]\b/.test(status));
  if (plain(reply)["type"] !== "transaction-response" || !taken) throw new ServerError("reply");
}

/** The answer to referral `id`, the latest of several; null while there is none. Raises ServerError. */
export async function answerAt(server: string, id: string): Promise<Answer | null> {
  const found = await get(server, `Task?identifier=${encodeURIComponent(IDENTIFIER + id)}`);
  if (plain(found)["resourceType"] !== "Bundle") throw new ServerError("reply");
  // A server that does not know a word of the search leaves it out and gives others' Tasks; one may hold a Task twice.
  const own = resources(found).filter((one) => one["resourceType"] === "Task" && one["status"] === "completed" && isOf(one, id));
  let [latest, fault]: [Answer | null, unknown] = [null, null];
  for (const place of own.flatMap((task) => reportsOf(task, server))) {
    try {
      const answer = answerOf(reportIn(await get(server, place), place));
      if (latest === null || latest.issued < answer.issued) latest = answer;
    } catch (error) {
      if (!(error instanceof AnswerError)) throw error;
      fault = error; // a report that was taken back, for one: another may stand beside it
    }
  }
  if (latest === null && fault !== null) throw new ServerError("reply", fault);
  return latest;
}

/** Where the reports are that a Task names as its answers: at this server, however it writes that. */
function reportsOf(task: Record<string, unknown>, server: string): string[] {
  const bare = (address: string): string => address.replace(/^https?:\/\//, "");
  return list(task["output"]).flatMap(({ type, valueReference }) => {
    const reference = String(plain(valueReference)["reference"]);
    const host = `${bare(server)}/`;
    const local = bare(reference).startsWith(host) ? bare(reference).slice(host.length) : reference;
    const place = /^(DiagnosticReport\/[A-Za-z0-9.-]{1,64})(?:\/_history\/[A-Za-z0-9.-]{1,64})?$/.exec(local);
    return plain(type)["text"] === "answer" && place ? [place[1]] : [];
  });
}

function reportIn(given: unknown, place: string): unknown {
  const { resourceType, id } = plain(given);
  if (`${String(resourceType)}/${String(id)}` !== place) throw new ServerError("reply");
  return given;
}

function get(server: string, path: string): Promise<unknown> {
  return request(`${server}/${path}`, { headers: { Accept: JSON_TYPE }, cache: "no-store" }, LONGEST_GET);
}

async function request(url: string, options: RequestInit, longest: number): Promise<unknown> {
  const signal = AbortSignal.timeout(longest);
  let response: Response;
  try {
    response = await fetch(url, { ...options, signal, credentials: "omit", redirect: "error", referrerPolicy: "no-referrer" });
    if (response.ok) return await response.json();
  } catch (error) {
    throw error instanceof SyntaxError ? new ServerError("reply", error) : new ServerError("network", error);
  }
  throw new ServerError(String(response.status), response.status, waitOf(response.headers.get("Retry-After")));
}

/** Milliseconds of a Retry-After, which is seconds or a date; 0 for none, and for what is neither. */
function waitOf(given: string | null): number {
  if (given === null) return 0;
  const wait = /^\d+$/.test(given.trim()) ? 1_000 * Number(given) : Date.parse(given) - Date.now();
  return Number.isFinite(wait) ? Math.max(0, wait) : 0;
}
