/** One person's case, in memory alone: it ends with the page. A referral is made of what is here. */

import { Classified, Taken } from "../measure/messages";
import { Decision, decide, mean, Outcome } from "../measure/decision";
import { Model, Question } from "../measure/site";

export interface Photo extends Taken {
  view: "overview" | "close_up";
  at: Date; // when it was taken in
  found: Classified | null; // of a close-up; an overview is for people to look at
}

export interface Case {
  began: Date;
  answers: Partial<Record<Question, string>>;
  photos: Photo[];
  counted: Outcome | null; // the answer that was counted
  sent: string | null; // the referral that was made of it, while nothing has changed
}

export interface Result {
  probabilities: number[]; // the mean over the close-ups, in the order of the model's labels
  decision: Decision;
}

export function newCase(): Case {
  return { began: new Date(), answers: {}, photos: [], counted: null, sent: null };
}

// What a referral has room for.
export const MOST_CLOSE_UPS = 8;

/** Keep a photo; a new overview takes the place of the one before. */
export function addPhoto(to: Case, photo: Photo): void {
  if (photo.view === "overview") to.photos = to.photos.filter(({ view }) => view !== "overview");
  to.photos.push(photo);
  to.sent = null;
}

export function removePhoto(from: Case, photo: Photo): void {
  from.photos = from.photos.filter((one) => one !== photo);
  from.sent = null;
}

export function closeUps(of: Case): (Photo & { found: Classified })[] {
  return of.photos.filter((photo): photo is Photo & { found: Classified } => photo.found !== null);
}

/** The answer on all close-ups, of which there is one at least. */
export function result(of: Case, model: Model): Result {
  const probabilities = mean(closeUps(of).map((photo) => photo.found.probabilities));
  return { probabilities, decision: decide(probabilities, model.positive, model.rule) };
}
