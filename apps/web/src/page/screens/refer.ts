/** Send to a clinician: all that goes is shown, then the person agrees, then it is stored, before anything is sent. */

import { Draft, draftOf, Picture } from "../../referral/bundle";
import { seal } from "../../referral/envelope";
import { enqueue } from "../../referral/queue";
import { sendNow } from "../../referral/send";
import { StorageError } from "../../referral/store";
import { Recipient } from "../../measure/site";
import { App } from "../app";
import { Result, result } from "../case";
import { apart, button, element, show } from "../dom";
import { mapPicture } from "../map";
import { shares } from "./answer";
import { modelLine } from "./next";
import { answerName } from "./questions";

export async function refer(app: App): Promise<void> {
  const { referral, model } = app.site;
  if (referral === null) return;
  const found = result(app.case, model);
  const { outcome, label } = found.decision;
  const made = new Date();
  const { photos, answers } = app.case;
  let left = false;
  app.leave = () => (left = true);
  show(app.say("refer"), element("p", { role: "status" }, app.say("working")));
  const pictures: Picture[] = [];
  for (const { view, jpeg, at, picture, found: seen } of photos) {
    pictures.push({ view, jpeg, at, map: seen && (await mapPicture(picture, seen.maps, label)) });
  }
  const facts = { made, model, answers: { ...answers }, pictures, outcome, probabilities: found.probabilities, consent: app.say("refer_consent") };
  const draft = await draftOf(facts);
  if (left) return;
  const urls: string[] = [];
  app.leave = () => urls.forEach((url) => URL.revokeObjectURL(url));
  show(
    app.say("refer"),
    ...recipient(app, referral),
    element("h2", {}, app.say("refer_goes")),
    element("p", {}, app.say("refer_photos")),
    element("ul", { class: "photos" }, ...pictures.flatMap((one, k) => cards(app, one, numberOf(pictures, k), urls))),
    element("div", { class: "actions" }, button(app.say("refer_change"), () => app.go("photos"), "plain")),
    ...words(app, found, draft, made),
    ...agreement(app, () => make(app, referral, draft, found)),
  );
}

/** How it goes, and who can read it then. */
function recipient(app: App, { key, server }: Recipient): HTMLElement[] {
  const lines: HTMLElement[] = [];
  if (server !== null) lines.push(element("p", {}, app.say("refer_server", { server: apart(new URL(server).host) })));
  if (key !== null) lines.push(element("p", {}, app.say(server === null ? "refer_key" : "refer_key_too", { clinic: apart(key.name) })));
  if (server === null && key === null) lines.push(element("p", { class: "urgent" }, app.say("refer_open")));
  return lines;
}

function numberOf(pictures: Picture[], index: number): string {
  return String(pictures.slice(0, index + 1).filter(({ view }) => view === pictures[index].view).length);
}

function cards(app: App, { view, jpeg, map }: Picture, number: string, urls: string[]): HTMLElement[] {
  const name = view === "overview" ? app.say("photo_overview") : app.say("photo_close_up", { number });
  const card = (blob: Blob, caption: string): HTMLElement => {
    const src = URL.createObjectURL(blob);
    urls.push(src);
    return element("li", {}, element("img", { src, alt: app.say("refer_picture", { name: caption }) }), element("span", {}, caption));
  };
  return [card(jpeg, name), ...(map ? [card(map, app.say("refer_map", { name }))] : [])];
}

/** What goes beside the photos, as text. */
function words(app: App, found: Result, { pseudonym }: Draft, made: Date): HTMLElement[] {
  const given = app.site.questions.filter((name) => app.case.answers[name] !== undefined);
  const rows = given.flatMap((name) => [
    element("dt", {}, app.say(`question_${name}`)),
    element("dd", {}, answerName(app, name, app.case.answers[name] ?? "")),
  ]);
  const date = new Intl.DateTimeFormat(app.texts.language, { dateStyle: "long", timeStyle: "short" }).format(made);
  return [
    element("h2", {}, app.say("refer_answers")),
    rows.length ? element("dl", {}, ...rows) : element("p", {}, app.say("refer_no_answers")),
    element("h2", {}, app.say("refer_model")),
    element("p", {}, app.say(found.decision.outcome)),
    shares(app.site.model.labels, found.probabilities),
    element("p", { class: "small" }, modelLine(app)),
    element("h2", {}, app.say("refer_who")),
    element("p", {}, app.say("refer_number", { number: apart(pseudonym), date: apart(date) })),
  ];
}

function agreement(app: App, go: () => Promise<void>): HTMLElement[] {
  const box = element("input", { type: "checkbox", id: "agree" });
  const warning = element("p", { role: "alert", class: "warning" });
  const send = button(app.say(app.site.referral?.server ? "refer_send" : "refer_make"), () => void press(), "primary");
  const press = async (): Promise<void> => {
    warning.textContent = box.checked ? app.say("working") : app.say("consent_needed");
    if (!box.checked || send.disabled) return;
    send.disabled = true; // one press, one referral
    try {
      await go();
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      warning.textContent = app.say(`storage_${error.kind}`);
      send.disabled = false;
    }
  };
  return [
    element("label", { class: "tick", for: "agree" }, box, app.say("refer_consent")),
    warning,
    element("div", { class: "actions" }, send, button(app.say("refer_not"), () => app.go("next"))),
  ];
}

/** Encrypt and store it; only then is it sent, or handed over from the next screen. */
async function make(app: App, { key, server }: Recipient, { id, made, bundle }: Draft, { decision, probabilities }: Result): Promise<void> {
  const { model, version } = app.site;
  const text = JSON.stringify(bundle);
  const sealed = key === null ? null : await seal(text, id, key);
  const state = { state: "waiting", tries: 0, next: 0, fault: null, answer: null } as const;
  const facts = { model: model.sha256, positive: model.labels[model.positive], outcome: decision.outcome, mpox: probabilities[model.positive] };
  const content = { id, bundle: server === null && sealed !== null ? null : text, envelope: sealed?.file ?? null };
  await enqueue({ id, made, server, replyKey: sealed?.replyKey ?? null, ...facts, ...state }, content, { model, site: version });
  app.case.sent = id;
  void navigator.storage?.persist?.(); // else the browser may delete it where the phone lacks room
  void sendNow();
  app.go("sent");
}
