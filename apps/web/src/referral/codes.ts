/** What the questions and answers are in a referral: English, whatever the language of the screen, and SNOMED CT where it is certain. */

import { Question } from "../measure/site";

export interface Coding {
  system: string;
  code: string;
  display: string;
}

const SNOMED = "http://snomed.info/sct";

export const MPOX: Coding = { system: SNOMED, code: "359814004", display: "Monkeypox" };

export const QUESTIONS: Record<Question, string> = {
  site: "Where on the body is it?",
  onset: "When did it begin?",
  fever: "Have you had a fever in these days?",
  contacts: "Were you close to somebody with mpox, or with a rash like this, in the last three weeks?",
};

/** The others ("chest or belly", "around the anus") are no single structure of SNOMED CT, and go as text. */
export const SITES: Record<string, Coding> = {
  face: { system: SNOMED, code: "89545001", display: "Face structure" },
  back: { system: SNOMED, code: "77568009", display: "Back structure, including back of neck" },
  hand: { system: SNOMED, code: "85562004", display: "Hand structure" },
  foot: { system: SNOMED, code: "56459004", display: "Foot structure" },
};
