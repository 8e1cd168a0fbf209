/** The page: its words, the files kept for use without a network, then the screens. */

import { Site } from "../measure/site";
import { App, Name, Screen } from "./app";
import { button, element, show } from "./dom";
import { Engine } from "./engine";
import { keptOffline, watchForUpdate } from "./offline";
import { answer } from "./screens/answer";
import { closeUp, overview } from "./screens/camera";
import { next } from "./screens/next";
import { photos } from "./screens/photos";
import { questions } from "./screens/questions";
import { selfTestScreen } from "./screens/selftest";
import { welcome } from "./screens/welcome";
import { chosen, load, Texts } from "./texts";

const SCREENS: Record<Name, Screen> = { welcome, questions, overview, close_up: closeUp, photos, answer, next };

async function start(): Promise<void> {
  const site = (await (await fetch("site.json")).json()) as Site;
  const texts = await load(chosen(site.languages));
  const notices = new Notices(site, texts);
  window.addEventListener("error", (event) => stop(texts, event.message));
  window.addEventListener("unhandledrejection", (event) => stop(texts, String(event.reason)));
  const kept = await keptOffline();
  const app = new App(site, texts, new Engine(), SCREENS);
  document.addEventListener("language", () => notices.write(app.texts));
  if (kept) {
    notices.tell(texts.say("ready"));
    void watchForUpdate((begin) => notices.tell(app.say("update"), button(app.say("update_now"), begin)));
  }
  history.replaceState("welcome", "");
  if (new URLSearchParams(location.search).has("selftest")) await selfTestScreen(app);
  else app.render("welcome");
}

/** What stands around every screen: the notice, a draft's warning, and whether the app works without a network. */
class Notices {
  constructor(
    private readonly site: Site,
    texts: Texts,
  ) {
    this.write(texts);
  }

  write(texts: Texts): void {
    for (const place of document.querySelectorAll(".never")) place.textContent = texts.say("never");
    const draft = document.querySelector<HTMLElement>("#draft");
    if (draft) draft.textContent = texts.say("draft");
    const title = document.querySelector("#title");
    if (title) title.textContent = this.site.title;
  }

  tell(...content: (string | Node)[]): void {
    document.querySelector("#offline")?.replaceChildren(...content);
  }
}

function stop(texts: Texts, why: string): void {
  show(texts.say("stopped"), element("p", {}, texts.say("stopped_why", { why })));
}

void start();
