/** The answer in plain words, what its number means and does not, and the map over each close-up. */

import { countAnswered } from "../../referral/counts";
import { App } from "../app";
import { closeUps, result, Result } from "../case";
import { button, element, show } from "../dom";
import { figure } from "../map";
import { selfTestScreen } from "./selftest";

export async function answer(app: App): Promise<void> {
  const tested = await app.tested;
  if (!tested.good) return selfTestScreen(app);
  const found = result(app.case, app.site.model);
  const { labels } = app.site.model;
  const { outcome, label, set } = found.decision;
  if (app.case.counted !== outcome) {
    const before = app.case.counted;
    app.count((counted) => countAnswered(counted, outcome, before));
    app.case.counted = outcome;
  }
  const named = set.length ? set.map((k) => labels[k]).join(", ") : app.say("unclear_none");
  const maps = closeUps(app.case).map((photo, number) =>
    figure(photo.picture, photo.found.maps, { label, name: labels[label], number }, app.texts),
  );
  show(
    app.say(outcome),
    element("p", { class: `outcome ${outcome}` }, app.say(`${outcome}_text`, { label: labels[label], set: named })),
    element("p", { class: "number" }, app.say("number", { percent: percent(found.probabilities[app.site.model.positive]) })),
    element("details", {}, element("summary", {}, app.say("number_means")), ...meaning(app, found)),
    ...maps,
    element("div", { class: "actions" }, button(app.say("what_next"), () => app.go("next"), "primary")),
  );
}

function meaning(app: App, found: Result): HTMLElement[] {
  const { labels, rule } = app.site.model;
  const count = closeUps(app.case).length;
  const photos = count === 1 ? app.say("number_photos_one") : app.say("number_photos", { count: String(count) });
  const lines = [app.say("number_is", { labels: labels.join(", "), count: photos }), app.say("number_is_not")];
  // A larger one is reached by the likeliest class alone.
  if (rule.threshold !== null && rule.threshold < 0.5) lines.push(app.say("number_limit", { threshold: percent(rule.threshold) }));
  if (rule.promised_sensitivity) lines.push(app.say("number_missed", { missed: percent(1 - rule.promised_sensitivity) }));
  return [...lines.map((line) => element("p", {}, line)), shares(labels, found.probabilities)];
}

/** Probabilities in a table, of 100. */
export function shares(labels: string[], probabilities: number[]): HTMLElement {
  const rows = labels.map((label, k) =>
    element("tr", {}, element("th", { scope: "row" }, label), element("td", {}, percent(probabilities[k]))),
  );
  return element("table", {}, element("tbody", {}, ...rows));
}

/** Of 100, whole; what is not 0 or 100 is never shown as that. Set apart, since right to left "<1" would read ">1". */
function percent(share: number): string {
  const whole = Math.round(100 * share);
  if (whole === 0 && share > 0) return "\u2066<1\u2069";
  return whole === 100 && share < 1 ? "\u2066>99\u2069" : String(whole);
}
