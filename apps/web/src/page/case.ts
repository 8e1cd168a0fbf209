/** One person's case, in memory alone: it ends with the page. All that a referral would need is here. */

import { Classified, Taken } from "../measure/messages";
import { Decision, decide, mean } from "../measure/decision";
import { Model, Question } from "../measure/site";

export interface Photo extends Taken {
  view: "overview" | "close_up";
  found: Classified | null; // of a close-up; an overview is for people to look at
}

export interface Case {
  began: Date;
  answers: Partial<Record<Question, string>>;
  photos: Photo[];
}

export interface Result {
  probabilities: number[]; // the mean over the close-ups, in the order of the model's labels
  decision: Decision;
}

export function newCase(): Case {
  return { began: new Date(), answers: {}, photos: [] };
}

export function closeUps(of: Case): (Photo & { found: Classified })[] {
  return of.photos.filter((photo): photo is Photo & { found: Classified } => photo.found !== null);
}

/** The answer on all close-ups, of which there is one at least. */
export function result(of: Case, model: Model): Result {
  const probabilities = mean(closeUps(of).map((photo) => photo.found.probabilities));
  return { probabilities, decision: decide(probabilities, model.positive, model.rule) };
}
