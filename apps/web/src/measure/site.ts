/** What `python -m mpox.app` writes beside the program: site.json. */

import { Rule } from "./decision";
import { Limits } from "./quality";
import { Filter } from "./resize";

export interface Site {
  title: string;
  version: string; // hash of the site's files
  contact: string | null;
  questions: Question[];
  languages: string[]; // the first is the one of a browser whose own is not among them
  model: Model;
  golden: Golden[];
  tolerance: number; // largest difference of a golden probability
  level_tolerance: number; // largest mean difference of a golden working picture, levels of 255
  limits: Limits;
  referral: Recipient | null; // to whom a case may be sent; null: it is not offered
}

export interface Recipient {
  key: ClinicKey | null; // files are encrypted to it; null: they are not
  server: string | null; // base address of a FHIR server, without a slash at its end
}

export interface ClinicKey {
  id: string;
  name: string; // the clinic's
  public: string; // base64url of an uncompressed point of P-256
}

export type Question = "site" | "onset" | "fever" | "contacts";

export interface Model {
  name: string;
  study: string;
  fold: string | number;
  recipe: string;
  tool_version: string;
  sha256: string; // of the export's model.onnx
  labels: string[];
  positive: number;
  image_size: number;
  interpolation: Filter;
  resize: "two_step" | "one_step"; // whether a box comes before the filter
  rule: Rule & { promised_sensitivity?: number | null };
  explains: boolean;
}

export interface Golden {
  photo: string; // path of the file
  picture: string | null; // of its working picture, where decoders may differ by rounding; null: its answer is compared
  probabilities: number[];
  kept: boolean; // whether the phone keeps it; else it is fetched for ?selftest alone
}
