/** A case as a FHIR R4 transaction; docs/reference/referral.md has the format. Every identifier is made once, here. */

import { Outcome } from "../measure/decision";
import { Model, Question } from "../measure/site";
import { base64, Bytes } from "./bytes";
import { Coding, MPOX, QUESTIONS, SITES } from "./codes";

export interface Picture {
  view: "overview" | "close_up";
  jpeg: Blob;
  at: Date;
  map: Blob | null; // a PNG of the centre square with its colours
}

export interface Facts {
  made: Date;
  model: Model;
  answers: Partial<Record<Question, string>>;
  pictures: Picture[];
  outcome: Outcome;
  probabilities: number[]; // the mean over the close-ups, in the order of the model's labels
  consent: string; // the sentence that the person agrees to
}

export interface Resource {
  resourceType: string;
  [field: string]: unknown;
}

type Content = Omit<Resource, "resourceType">;

interface Reference {
  reference: string;
}

export interface Entry {
  fullUrl: string;
  resource: Resource;
  request: { method: "POST"; url: string; ifNoneExist: string };
}

export interface Bundle {
  resourceType: "Bundle";
  type: "transaction";
  entry: Entry[];
}

export interface Draft {
  id: string; // of the referral: the Task's
  pseudonym: string; // the Patient's
  made: string; // ISO 8601
  bundle: Bundle;
}

const URI = "urn:ietf:rfc:3986";
const VALUE = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
const CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category";
const AGENT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";
const SHARE = { system: "http://unitsofmeasure.org", code: "1" };
const ASSESSMENT = { text: "Assessment of a skin lesion by a clinician" };

/** Entries under way: `add` gives the resource an address within the bundle and an identifier, which are not the same
 * (servers replace the address wherever it stands). */
class Entries {
  readonly list: Entry[] = [];

  /** Returns a reference to the resource, whose identifier is `id`. */
  add(type: string, content: Content, id: string = crypto.randomUUID()): Reference {
    const own = { system: URI, value: `urn:uuid:${id}` };
    const others = (content["identifier"] as object[] | undefined) ?? [];
    // FHIR R4 gives this resource one identifier, not a list.
    const identifier = type === "QuestionnaireResponse" ? own : [own, ...others];
    return this.post({ resourceType: type, ...content, identifier }, `identifier=${own.system}|${own.value}`);
  }

  /** The same for a resource without an identifier: it is there where `ifNoneExist` finds it. */
  post(resource: Resource, ifNoneExist: string): Reference {
    const fullUrl = `urn:uuid:${crypto.randomUUID()}`;
    this.list.push({ fullUrl, resource, request: { method: "POST", url: resource.resourceType, ifNoneExist } });
    return { reference: fullUrl };
  }
}

export async function draftOf(facts: Facts): Promise<Draft> {
  const { model, made } = facts;
  const now = made.toISOString();
  const [id, pseudonym] = [crypto.randomUUID(), crypto.randomUUID()];
  const entries = new Entries();
  const add = (type: string, content: Content): Reference => entries.add(type, content);
  const subject = entries.add("Patient", {}, pseudonym);
  const device = add("Device", deviceOf(model));
  const pictures = [];
  for (const one of await documents(facts)) {
    const photo = add("DocumentReference", { ...one.photo, subject });
    const relatesTo = [{ code: "appends", target: photo }];
    const map = one.map ? add("DocumentReference", { ...one.map, subject, relatesTo }) : null;
    pictures.push({ view: one.view, photo, map });
  }
  const item = items(facts.answers);
  const answers = item.length ? add("QuestionnaireResponse", { status: "completed", subject, authored: now, item }) : null;
  const derivedFrom = pictures.flatMap(({ view, photo }) => (view === "close_up" ? [photo] : []));
  const observation = add("Observation", { ...observationOf(facts), subject, device, derivedFrom });
  const request = add("ServiceRequest", {
    status: "active", intent: "proposal", code: ASSESSMENT, subject, authoredOn: now, reasonReference: [observation],
    supportingInfo: [...pictures.flatMap(({ photo, map }) => (map ? [photo, map] : [photo])), ...(answers ? [answers] : [])],
  });
  const input = [{ type: { text: "consent" }, valueString: facts.consent }];
  const times = { authoredOn: now, lastModified: now };
  entries.add("Task", { status: "requested", intent: "proposal", focus: request, for: subject, ...times, reasonReference: observation, input }, id);
  const agent = [{ type: { coding: [{ system: AGENT, code: "assembler", display: "Assembler" }] }, who: device }];
  entries.post({ resourceType: "Provenance", target: [observation], recorded: now, agent }, `target=${observation.reference}`);
  return { id, pseudonym, made: now, bundle: { resourceType: "Bundle", type: "transaction", entry: entries.list } };
}

function deviceOf({ name, study, fold, recipe, labels, sha256, tool_version }: Model): Content {
  return {
    identifier: [{ system: "urn:mpox:model-sha256", value: sha256 }],
    deviceName: [{ name, type: "model-name" }],
    type: { text: "Image classifier for skin lesions, research software" },
    version: [{ value: tool_version }],
    note: [{ text: `study ${study}, fold ${fold}, recipe ${recipe}, classes ${labels.join(", ")}` }],
  };
}

interface Documents {
  view: Picture["view"];
  photo: Content;
  map: Content | null;
}

async function documents({ pictures, made, outcome }: Facts): Promise<Documents[]> {
  const count = { overview: 0, close_up: 0 };
  const found: Documents[] = [];
  for (const { view, jpeg, at, map } of pictures) {
    const kind = view === "overview" ? "overview" : "close-up";
    const title = `${kind} ${++count[view]}`;
    const document = async (text: string, blob: Blob, name: string, creation: Date): Promise<Content> => ({
      status: "current", type: { text }, date: made.toISOString(), content: [{ attachment: await attachment(blob, name, creation) }],
    });
    found.push({
      view,
      photo: await document(`Photo of a skin lesion, ${kind}`, jpeg, title, at),
      map: map && (await document(`Map of what the model used, ${title}`, map, `map of ${title}, ${outcome}`, made)),
    });
  }
  return found;
}

async function attachment(blob: Blob, title: string, creation: Date): Promise<object> {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const hash = base64(new Uint8Array(await crypto.subtle.digest("SHA-1", bytes)) as Bytes); // SHA-1 is what FHIR R4 asks for
  return { contentType: blob.type, data: base64(bytes), size: bytes.length, hash, title, creation: creation.toISOString() };
}

function items(answers: Facts["answers"]): object[] {
  return (Object.keys(QUESTIONS) as Question[]).flatMap((linkId) => {
    const valueString = answers[linkId];
    return valueString === undefined ? [] : [{ linkId, text: QUESTIONS[linkId], answer: [{ valueString }] }];
  });
}

function observationOf({ model, made, answers, outcome, probabilities }: Facts): Content {
  const share = (text: string, value: number, coding?: Coding): object => ({
    code: { ...(coding ? { coding: [coding] } : {}), text },
    valueQuantity: { value, ...SHARE },
  });
  const classes = model.labels.map((label, k) => share(label, probabilities[k], k === model.positive ? MPOX : undefined));
  const { threshold } = model.rule;
  const site = answers.site;
  const coding = site === undefined ? undefined : SITES[site];
  return {
    // After what the HL7 guide on AI transparency marks such results with.
    meta: { security: [{ system: VALUE, code: "AIAST", display: "Artificial Intelligence asserted" }] },
    status: "preliminary",
    category: [{ coding: [{ system: CATEGORY, code: "imaging", display: "Imaging" }] }],
    code: { text: "Suspicion of mpox in photos of skin, by research software; not a diagnosis" },
    effectiveDateTime: made.toISOString(),
    valueCodeableConcept: { text: outcome },
    ...(site === undefined ? {} : { bodySite: { ...(coding ? { coding: [coding] } : {}), text: site } }),
    component: [...classes, ...(threshold === null ? [] : [share("threshold", threshold)])],
  };
}
