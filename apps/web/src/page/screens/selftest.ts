/** The self-test's findings: asked for by ?selftest, and shown in place of an answer where it failed. */

import { App } from "../app";
import { element, show } from "../dom";
import { modelLine } from "./next";

export async function selfTestScreen(app: App): Promise<void> {
  const verdict = element("p", { role: "status", class: "outcome" }, app.say("selftest_running", { count: String(app.site.golden.length) }));
  const list = element("ul", { class: "small" });
  const limit = element("p", { class: "small" });
  const way = element("p", { class: "small" });
  show(app.say("selftest"), verdict, list, limit, way, element("p", { class: "small" }, modelLine(app)));
  const { good, photos, colours, milliseconds } = await app.tested;
  list.append(
    ...photos.map(({ name, of, difference }) => {
      if (difference === null) return element("li", {}, app.say("selftest_missing", { name }));
      const far = of === "answer" ? difference.toExponential(1) : difference.toFixed(2);
      return element("li", {}, app.say(of === "answer" ? "selftest_photo" : "selftest_picture", { name, difference: far }));
    }),
  );
  limit.textContent = app.say("selftest_limit", {
    tolerance: String(app.site.tolerance),
    levels: String(app.site.level_tolerance),
    seconds: (milliseconds / 1000).toFixed(1),
  });
  way.textContent = app.say(colours === "exact" ? "selftest_colours_exact" : "selftest_colours_browser");
  way.dataset["colours"] = colours;
  verdict.textContent = app.say(good ? "selftest_good" : "selftest_bad");
  verdict.classList.add(good ? "not_suspected" : "suspected");
  verdict.dataset["result"] = good ? "good" : "bad";
}
