/** Body site and a few questions, all of which may be left open. */

import { Question } from "../../measure/site";
import { App } from "../app";
import { button, element, show } from "../dom";

const ANSWERS: Record<Question, string[]> = {
  site: ["face", "mouth", "chest", "back", "arm", "hand", "genitals", "anus", "leg", "foot", "elsewhere"],
  onset: ["days", "week", "weeks", "longer"],
  fever: ["yes", "no", "unknown"],
  contacts: ["yes", "no", "unknown"],
};

export function questions(app: App): void {
  show(
    app.say("questions"),
    element("p", {}, app.say("questions_why")),
    ...app.site.questions.map((name) => field(app, name)),
    element("div", { class: "actions" }, button(app.say("next"), () => app.go("overview"), "primary")),
  );
}

function field(app: App, name: Question): HTMLElement {
  const given = app.case.answers[name] ?? "";
  const options = ANSWERS[name].map((answer) =>
    element("option", { value: answer, selected: answer === given }, answerName(app, name, answer)),
  );
  const keep = (event: Event): void => {
    const value = (event.target as HTMLSelectElement).value;
    if (value) app.case.answers[name] = value;
    else delete app.case.answers[name];
    app.case.sent = null;
  };
  const select = element("select", { id: name, change: keep }, element("option", { value: "" }, app.say("open")), ...options);
  return element("p", { class: "field" }, element("label", { for: name }, app.say(`question_${name}`)), select);
}

/** An answer in the words of the screen. */
export function answerName(app: App, name: Question, answer: string): string {
  return app.say(name === "site" || name === "onset" ? `${name}_${answer}` : answer);
}
