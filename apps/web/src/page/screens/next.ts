/** What to do next, and which model answered. */

import { App } from "../app";
import { result } from "../case";
import { button, element, show } from "../dom";
import { sentButton } from "./sent";

export function next(app: App): void {
  const { decision } = result(app.case, app.site.model);
  const keys = decision.refer ? ["next_refer", "next_cover", "next_contacts"] : ["next_watch"];
  const { contact } = app.site;
  show(
    app.say("what_next"),
    element("ul", { class: "advice" }, ...keys.map((key) => element("li", {}, app.say(key)))),
    contact ? element("p", { class: "urgent" }, app.say("next_where", { contact })) : null,
    element(
      "div",
      { class: "actions" },
      ...sending(app, decision.refer),
      button(app.say("again"), () => app.startAgain()),
      button(app.say("counts"), () => app.go("counts"), "plain"),
    ),
    element("p", { class: "small" }, app.say("again_hint")),
    element("p", { class: "small" }, modelLine(app)),
  );
}

/** The way to a clinician: the first thing offered where the answer leads to one. */
function sending(app: App, refers: boolean): HTMLElement[] {
  if (app.site.referral === null || !window.isSecureContext) return [];
  const list = sentButton(app);
  if (app.case.sent !== null) return [list];
  return [button(app.say("refer"), () => app.go("refer"), refers ? "primary" : ""), list];
}

export function modelLine(app: App): string {
  const { name, study, recipe, sha256, tool_version } = app.site.model;
  return app.say("model", { name, study, recipe, hash: sha256.slice(0, 12), version: tool_version });
}
