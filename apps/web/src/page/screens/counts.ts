/** What the app counted on this phone; saved as a file, or deleted, when asked. */

import { deleteCounts, Field, field } from "../../referral/counts";
import { StorageError } from "../../referral/store";
import { App } from "../app";
import { button, element, show } from "../dom";
import { save } from "../handover";

export async function counts(app: App): Promise<void> {
  let found: Field;
  try {
    found = await field();
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    return show(app.say("counts"), element("p", { class: "warning" }, app.say(`storage_${error.kind}`)), home(app));
  }
  const empty = found.models.every(({ days }) => days.length === 0);
  const handed = (): void => save({ name: `mpox-field-${found.made}.json`, text: `${JSON.stringify(found, null, 1)}\n` });
  show(
    app.say("counts"),
    element("p", {}, app.say("counts_why")),
    ...(empty ? [element("p", {}, app.say("counts_none"))] : found.models.flatMap((model) => tables(app, model))),
    element(
      "div",
      { class: "actions" },
      empty ? null : button(app.say("counts_save"), handed),
      empty ? null : remover(app),
      home(app),
    ),
  );
}

/** The sums over all days of one model. */
function tables(app: App, { name, sha256, days, cases }: Field["models"][number]): HTMLElement[] {
  const sum = (of: "refused" | "answered" | "referred"): [string, number][] => {
    const total = new Map<string, number>();
    for (const day of days) for (const [key, count] of Object.entries(day[of])) total.set(key, (total.get(key) ?? 0) + count);
    return [...total];
  };
  const known = (outcome: string): number => cases.filter((one) => one.outcome === outcome).length;
  const taken = days.reduce((total, day) => total + day.taken, 0);
  const refused = sum("refused").reduce((total, [, count]) => total + count, 0);
  const answered = sum("answered").filter(([, count]) => count > 0);
  const referred = new Map(sum("referred"));
  const outcomes = [...new Set([...answered.map(([key]) => key), ...referred.keys()])];
  const cell = (value: number): HTMLElement => element("td", {}, String(value));
  const head = ["counts_answer", "counts_answered", "counts_referred", "counts_known"].map((key) => element("th", { scope: "col" }, app.say(key)));
  const rows = outcomes.map((key) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, app.say(key)),
      cell(answered.find(([one]) => one === key)?.[1] ?? 0),
      cell(referred.get(key) ?? 0),
      cell(known(key)),
    ),
  );
  return [
    element("h2", {}, app.say("counts_model", { name, hash: sha256.slice(0, 12) })),
    element("p", {}, app.say("counts_photos", { taken: String(taken), refused: String(refused) })),
    element("table", { class: "counted" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)),
  ];
}

/** Asks once more before it deletes. */
function remover(app: App): HTMLElement {
  const made = button(app.say("counts_delete"), () => {
    if (made.dataset["sure"]) return void deleteCounts().then(() => app.render("counts"));
    made.dataset["sure"] = "yes";
    made.textContent = app.say("counts_delete_sure");
  });
  return made;
}

function home(app: App): HTMLElement {
  return button(app.say("home"), () => app.go("welcome"), "plain");
}
