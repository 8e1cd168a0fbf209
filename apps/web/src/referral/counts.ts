/** How the app answered on this phone, counted by day, without photos and without anything that names a person. */

import { Outcome } from "../measure/decision";
import { Model } from "../measure/site";
import { Answer } from "./answer";
import { asked, Stores, transact } from "./store";

type Counts = Record<string, number>;

interface Day {
  model: string; // SHA-256
  date: string; // of the phone's calendar
  site: string; // version of the app, the day's last
  taken: number; // close-ups that were good enough
  refused: Counts; // photos, by what was wrong with them
  answered: Counts; // cases, by outcome
  referred: Counts; // cases, by outcome
}

/** A case with a clinician's answer. */
interface Known {
  id: string; // of the referral; it is not exported
  model: string;
  outcome: Outcome;
  mpox: number; // probability, to .01
  clinician: string; // the label chosen, or "cannot tell"
}

type Facts = Pick<Model, "sha256" | "name" | "study" | "recipe" | "labels"> & { positive: string; threshold: number | null };

/** What a change is counted under. */
export interface Counted {
  model: Model;
  site: string; // version of the app
}

export const COUNTED = ["models", "days"] as const;

export function countRefused(of: Counted, why: string): Promise<void> {
  return count(of, (day) => add(day.refused, why, 1));
}

export function countTaken(of: Counted): Promise<void> {
  return count(of, (day) => (day.taken += 1));
}

/** Count a case's answer; `before`: the one that a further photo changed. */
export function countAnswered(of: Counted, outcome: Outcome, before: Outcome | null): Promise<void> {
  return count(of, (day) => {
    if (before !== null) add(day.answered, before, -1);
    add(day.answered, outcome, 1);
  });
}

async function count(of: Counted, change: (day: Day) => void): Promise<void> {
  await transact("readwrite", [...COUNTED], (stores) => countIn(stores, of, change));
}

/** The same within another change, of which it is part. */
export async function countReferred(stores: Stores, of: Counted, outcome: Outcome): Promise<void> {
  await countIn(stores, of, (day) => add(day.referred, outcome, 1));
}

/** A clinician's answer to a referral, within another change; a later answer takes its place. */
export function countKnown(
  stores: Stores,
  { id, model, outcome, mpox, positive }: { id: string; model: string; outcome: Outcome; mpox: number; positive: string },
  answer: Answer,
): void {
  const known: Known = { id, model, outcome, mpox: Math.round(100 * mpox) / 100, clinician: answer.mpox ? positive : answer.label.slice(0, 100) };
  stores("cases").put(known);
}

async function countIn(stores: Stores, { model, site }: Counted, change: (day: Day) => void): Promise<void> {
  const { sha256, name, study, recipe, labels, rule } = model;
  const facts: Facts = { sha256, name, study, recipe, labels, positive: labels[model.positive], threshold: rule.threshold };
  stores("models").put(facts);
  const date = today();
  const found = (await asked(stores("days").get([sha256, date]))) as Day | undefined;
  const day: Day = { taken: 0, refused: {}, answered: {}, referred: {}, ...found, model: sha256, date, site };
  change(day);
  stores("days").put(day);
}

function add(counts: Counts, name: string, by: number): void {
  counts[name] = Math.max(0, (counts[name] ?? 0) + by);
}

/** The phone's own date, as YYYY-MM-DD. */
export function today(): string {
  const now = new Date();
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}

export interface Field {
  format: "mpox-field";
  version: 1;
  made: string;
  models: (Facts & { days: Omit<Day, "model">[]; cases: Omit<Known, "id" | "model">[] })[];
}

/** All that was counted, as it is exported; docs/reference/referral.md says what each number is. */
export async function field(): Promise<Field> {
  const names = ["models", "days", "cases"] as const;
  const [models, days, cases] = await transact("readonly", [...names], (stores) =>
    Promise.all(names.map((name) => asked(stores(name).getAll())) as [Promise<Facts[]>, Promise<Day[]>, Promise<Known[]>]),
  );
  const of = ({ sha256 }: Facts): Field["models"][number]["cases"] =>
    cases
      .filter((one) => one.model === sha256)
      .map(({ outcome, mpox, clinician }) => ({ outcome, mpox, clinician }))
      .sort((one, other) => one.mpox - other.mpox || (one.clinician < other.clinician ? -1 : 1)); // the order tells nothing
  const ofDays = ({ sha256 }: Facts): Omit<Day, "model">[] =>
    days.filter((one) => one.model === sha256).map(({ date, site, taken, refused, answered, referred }) => ({ date, site, taken, refused, answered, referred }));
  return { format: "mpox-field", version: 1, made: today(), models: models.map((one) => ({ ...one, days: ofDays(one), cases: of(one) })) };
}

export async function deleteCounts(): Promise<void> {
  await transact("readwrite", ["models", "days", "cases"], (stores) => {
    for (const name of ["models", "days", "cases"] as const) stores(name).clear();
  });
}
