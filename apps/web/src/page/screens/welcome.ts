/** What this is and is not, and consent. */

import { App } from "../app";
import { button, element, show } from "../dom";
import { load } from "../texts";
import { sentButton } from "./sent";

export function welcome(app: App): void {
  const { referral } = app.site;
  const private_ = referral === null ? "welcome_private" : "welcome_private_refer";
  const paragraphs = ["welcome_is", "welcome_is_not", private_].map((key) => element("p", {}, app.say(key)));
  const box = element("input", { type: "checkbox", id: "consent" });
  box.checked = app.consented;
  const warning = element("p", { role: "alert", class: "warning" });
  const begin = button(
    app.say("begin"),
    () => {
      app.consented = box.checked;
      if (box.checked) app.go(app.site.questions.length ? "questions" : "overview");
      else warning.textContent = app.say("consent_needed");
    },
    "primary",
  );
  show(
    app.say("welcome"),
    ...paragraphs,
    element("p", { class: "urgent" }, app.say("welcome_urgent")),
    element("label", { class: "tick", for: "consent" }, box, app.say("consent")),
    warning,
    element("div", { class: "actions" }, begin, referral && sentButton(app)),
    languages(app),
  );
}

function languages(app: App): HTMLElement | null {
  if (app.site.languages.length < 2) return null;
  const options = app.site.languages.map((tag) => {
    const own = new Intl.DisplayNames([tag], { type: "language" }).of(tag) ?? tag;
    return element("option", { value: tag, selected: tag === app.texts.language, lang: tag }, own);
  });
  const choose = async (event: Event): Promise<void> => {
    app.texts = await load((event.target as HTMLSelectElement).value);
    document.dispatchEvent(new Event("language"));
    welcome(app);
  };
  const select = element("select", { id: "language", change: (event) => void choose(event) }, ...options);
  return element("p", { class: "field" }, element("label", { for: "language" }, app.say("language")), select);
}
