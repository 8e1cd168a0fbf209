/** The page: its words, the files kept for use without a network, then the screens. */

import { Site } from "../measure/site";
import { keepSending } from "../referral/send";
import { App, Name, Screen } from "./app";
import { button, element, show } from "./dom";
import { Engine } from "./engine";
import { keptOffline, watchForUpdate } from "./offline";
import { answer } from "./screens/answer";
import { closeUp, overview } from "./screens/camera";
import { counts } from "./screens/counts";
import { next } from "./screens/next";
import { photos } from "./screens/photos";
import { questions } from "./screens/questions";
import { refer } from "./screens/refer";
import { selfTestScreen } from "./screens/selftest";
import { sent } from "./screens/sent";
import { welcome } from "./screens/welcome";
import { chosen, load, Texts } from "./texts";

const SCREENS: Record<Name, Screen> = {
  welcome, questions, overview, close_up: closeUp, photos, answer, next, refer, sent, counts,
};

async function start(): Promise<void> {
  const site = (await (await fetch("site.json")).json()) as Site;
  const texts = await load(chosen(site.languages));
  const notices = new Notices(site, texts);
  window.addEventListener("error", (event) => stop(texts, event.message));
  window.addEventListener("unhandledrejection", (event) => stop(texts, String(event.reason)));
  notices.tell((words) => [words.say("loading")]);
  const kept = keptOffline();
  const app = new App(site, texts, kept.then(() => new Engine()), SCREENS);
  document.addEventListener("language", () => notices.write(app.texts));
  void kept.then((whole) => {
    notices.tell((words) => (whole ? [words.say("ready")] : []));
    if (whole) {
      void watchForUpdate((begin) =>
        notices.tell((words) => [words.say("update"), button(words.say("update_now"), begin)]),
      );
    }
  });
  if (window.isSecureContext) keepSending(); // a page without HTTPS has neither locks nor cryptography
  history.replaceState("welcome", "");
  if (new URLSearchParams(location.search).has("selftest")) await selfTestScreen(app);
  else app.render("welcome");
}

/** What stands around every screen: the notice, a draft's warning, and whether the app works without a network. */
class Notices {
  private state: (words: Texts) => (string | Node)[] = () => [];

  constructor(
    private readonly site: Site,
    private words: Texts,
  ) {
    this.write(words);
  }

  write(words: Texts): void {
    this.words = words;
    const texts = { ".never": words.say("never"), "#draft": words.say("draft"), "#title": this.site.title };
    for (const [place, text] of Object.entries(texts)) {
      const shown = document.querySelector(place);
      if (shown) shown.textContent = text;
    }
    this.tell(this.state);
  }

  /** Show what `state` makes of the words, in another language too. */
  tell(state: (words: Texts) => (string | Node)[]): void {
    this.state = state;
    document.querySelector("#offline")?.replaceChildren(...state(this.words));
  }
}

function stop(texts: Texts, why: string): void {
  show(texts.say("stopped"), element("p", {}, texts.say("stopped_why", { why })));
}

void start();
