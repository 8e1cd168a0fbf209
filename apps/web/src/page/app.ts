/** What all screens share: the site, its words, the worker, the case; and the way from one screen to the next. */

import { Answers, Request, SelfTest } from "../measure/messages";
import { Site } from "../measure/site";
import { Counted } from "../referral/counts";
import { Case, closeUps, MOST_CLOSE_UPS, newCase } from "./case";
import { Engine } from "./engine";
import { Texts } from "./texts";

export type Screen = (app: App) => void | Promise<void>;
export type Name = "welcome" | "questions" | "overview" | "close_up" | "photos" | "answer" | "next" | "refer" | "sent" | "counts";

// Screens about what was sent and counted: they need no case.
const ANY_TIME: Name[] = ["sent", "counts"];

export class App {
  case: Case = newCase();
  consented = false;
  /** The worker's self-test, begun at once: nothing is answered before it is good. */
  readonly tested: Promise<SelfTest>;
  /** What the screen shown now has to end: the camera. */
  leave: (() => void) | null = null;

  constructor(
    readonly site: Site,
    public texts: Texts,
    private readonly engine: Promise<Engine>,
    private readonly screens: Record<Name, Screen>,
  ) {
    const all = new URLSearchParams(location.search).has("selftest");
    const base = new URL(".", location.href).href;
    this.tested = this.ask({ kind: "open", site, base }).then(() => this.ask({ kind: "selftest", all }));
    this.tested.catch(() => undefined); // whoever awaits it reports the error
    window.addEventListener("popstate", (event) => this.render((event.state as Name | null) ?? "welcome"));
  }

  /** Ask the worker, once its files are there. */
  async ask<K extends Request["kind"]>(request: Request & { kind: K }, transfer: Transferable[] = []): Promise<Answers[K]> {
    return (await this.engine).ask<K>(request, transfer);
  }

  /** Count something on this phone. Where the browser keeps nothing nothing is counted, which the screen of counts says. */
  count(change: (counted: Counted) => Promise<void>): void {
    const { model, version } = this.site;
    change({ model, site: version }).catch(() => undefined);
  }

  say(key: string, values?: Record<string, string>): string {
    return this.texts.say(key, values);
  }

  /** Go to a screen; the browser's own way back leads to the one before. */
  go(name: Name): void {
    history.pushState(name, "");
    this.render(name);
  }

  render(name: Name): void {
    this.leave?.();
    this.leave = null;
    void this.screens[this.allowed(name)](this);
  }

  startAgain(): void {
    this.case = newCase();
    this.consented = false;
    this.go("welcome");
  }

  /** Where what a screen needs is not there (a photo that was removed, a page that was loaded again), an earlier one. */
  private allowed(name: Name): Name {
    if (ANY_TIME.includes(name)) return name;
    if (!this.consented) return "welcome";
    if (name === "refer" && (this.site.referral === null || this.case.sent !== null)) return "sent";
    const judged = closeUps(this.case).length > 0;
    if (name === "close_up" && closeUps(this.case).length >= MOST_CLOSE_UPS) return "photos";
    return ["photos", "answer", "next", "refer"].includes(name) && !judged ? "close_up" : name;
  }
}
