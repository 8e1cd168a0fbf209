/** What was sent to clinicians: where each is, how to hand it over, and what they answered. */

import { AnswerError } from "../../referral/answer";
import { readAnswer } from "../../referral/answer_file";
import { confirm, contentOf, keepAnswer, onChange, Referral, referrals, remove } from "../../referral/queue";
import { sendNow } from "../../referral/send";
import { answerAt, ServerError } from "../../referral/server";
import { StorageError } from "../../referral/store";
import { App } from "../app";
import { apart, button, element, fileButton, show } from "../dom";
import { canShare, Handed, save, share, ShareError } from "../handover";

// An answer is a few kilobytes.
const LARGEST_ANSWER = 4_000_000;
const ACCEPTED = ".mpox,.json,.txt,application/json,application/fhir+json,application/octet-stream,text/plain";

export async function sent(app: App): Promise<void> {
  const list = element("ul", { class: "cases" });
  const report = element("p", { role: "status", class: "warning" });
  const screen = new Sent(app, list, report);
  app.leave = onChange(() => void screen.fill());
  show(
    app.say("sent"),
    list,
    report,
    element(
      "div",
      { class: "actions" },
      fileButton(app.say("sent_open"), { id: "answer", accept: ACCEPTED }, (file) => screen.open(file)),
      button(app.say("counts"), () => app.go("counts"), "plain"),
      button(app.say("home"), () => app.go("welcome"), "plain"),
    ),
  );
  await screen.fill();
  await screen.askAll();
}

/** The way to this screen, where there is something to see: what was sent, or why nothing can be kept. */
export function sentButton(app: App): HTMLElement {
  const made = button(app.say("sent"), () => app.go("sent"), "plain");
  made.hidden = true;
  referrals().then(
    (found) => (made.hidden = found.length === 0),
    () => (made.hidden = false),
  );
  return made;
}

class Sent {
  constructor(
    private readonly app: App,
    private readonly list: HTMLElement,
    private readonly report: HTMLElement,
  ) {}

  async fill(): Promise<void> {
    await this.saying(async () => {
      const found = await referrals();
      const cards = await Promise.all(found.map((one) => this.card(one)));
      const held = this.list.contains(document.activeElement) ? document.activeElement?.closest("li")?.dataset["id"] : undefined;
      this.list.replaceChildren(...(cards.length ? cards : [element("li", {}, this.app.say("sent_none"))]));
      // Who was on a card stays on it: its buttons are other ones now.
      if (held !== undefined) (this.list.querySelector<HTMLElement>(`[data-id="${held}"] h2`) ?? document.querySelector("h1"))?.focus();
    });
  }

  /** Ask the servers about all that wait for an answer; without a network that is left for later. */
  async askAll(): Promise<void> {
    await this.saying(async () => {
      for (const one of await referrals()) {
        if (one.state === "sent" && one.server !== null) await this.asked(one.server, one.id).catch(onlyServer);
      }
    });
  }

  async open(file: File): Promise<void> {
    await this.saying(async () => {
      if (file.size > LARGEST_ANSWER) throw new AnswerError("too large");
      const { id, answer } = await readAnswer(await file.text(), await referrals());
      await keepAnswer(id, answer);
    });
  }

  private async card(one: Referral): Promise<HTMLElement> {
    const { app } = this;
    return element(
      "li",
      { "data-id": one.id, "data-state": one.state },
      element("h2", { tabindex: "-1", id: `of-${one.id}` }, app.say("sent_of", { date: this.date(one.made) })),
      element("p", { class: "state" }, this.state(one)),
      one.answer ? this.answer(one.answer) : null,
      element("div", { class: "actions" }, ...(await this.actions(one)), this.remover(one.id)),
      element("p", { class: "small" }, app.say("sent_number", { number: apart(one.id) })),
    );
  }

  private state({ state, server, fault }: Referral): string {
    const { app } = this;
    if (state !== "waiting") return app.say(`state_${state}`);
    if (server === null) return app.say("state_unsent");
    if (server !== app.site.referral?.server) return app.say("state_moved", { server: apart(new URL(server).host) });
    if (fault === null || fault === "network") return app.say("state_waiting");
    return app.say("state_refused", { why: this.why(fault) });
  }

  private answer({ by, issued, label, text }: NonNullable<Referral["answer"]>): HTMLElement {
    const { app } = this;
    const who = app.say("answer_by", { name: apart(by || app.say("answer_nobody")), date: apart(this.date(issued)) });
    return element(
      "div",
      { class: "reply" },
      element("p", { class: "small" }, who),
      element("p", {}, element("strong", {}, app.say("answer_label", { label: apart(label) }))),
      text ? element("p", { class: "said", dir: "auto" }, text) : null,
    );
  }

  private async actions({ id, state, server, fault }: Referral): Promise<HTMLElement[]> {
    const { app } = this;
    if (state === "sent" && server !== null) return [this.action("ask", () => this.askOne(server, id))];
    if (state !== "waiting") return [];
    const again = server === null ? [] : [this.action("send_now", sendNow)];
    const content = await contentOf(id);
    const handed = handedOver(id, content?.envelope ?? null, server === null ? (content?.bundle ?? null) : null);
    // By file where there is no server, or it was asked in vain.
    if (handed === null || (server !== null && fault === null)) return again;
    return [
      ...again,
      ...(canShare() ? [this.action("share", () => share(handed), "primary")] : []),
      this.action("save", () => save(handed), canShare() ? "" : "primary"),
      this.action("handed", () => confirm(id)),
      element("p", { class: "small" }, app.say("handed_why")),
    ];
  }

  /** A button that does one thing at a time; what fails is reported in words. */
  private action(key: string, run: () => unknown, kind = ""): HTMLElement {
    let busy = false;
    const press = (): void => {
      if (busy) return;
      busy = true;
      void this.saying(async () => void (await run())).finally(() => (busy = false));
    };
    return button(this.app.say(key), press, kind);
  }

  /** Asks once more before it removes. */
  private remover(id: string): HTMLElement {
    const { app } = this;
    const made = button(app.say("sent_remove"), () => {
      if (made.dataset["sure"]) return void this.saying(() => this.remove(id));
      made.dataset["sure"] = "yes";
      made.textContent = app.say("sent_remove_sure");
    });
    made.classList.add("plain");
    made.setAttribute("aria-describedby", `of-${id}`);
    return made;
  }

  private async remove(id: string): Promise<void> {
    await remove(id);
    if (this.app.case.sent === id) this.app.case.sent = null; // it may be sent again, as another one
  }

  private async askOne(server: string, id: string): Promise<void> {
    if (!(await this.asked(server, id))) this.report.textContent = this.app.say("ask_none");
  }

  private async asked(server: string, id: string): Promise<boolean> {
    const answer = await answerAt(server, id);
    if (answer !== null) await keepAnswer(id, answer);
    return answer !== null;
  }

  /** Run something, and say in words why it could not be done. */
  private async saying(run: () => Promise<void>): Promise<void> {
    this.report.textContent = "";
    try {
      await run();
    } catch (error) {
      if (error instanceof StorageError) this.report.textContent = this.app.say(`storage_${error.kind}`);
      else if (error instanceof AnswerError) this.report.textContent = this.app.say("answer_wrong");
      else if (error instanceof ServerError) this.report.textContent = this.app.say("ask_failed", { why: this.why(error.fault) });
      else if (error instanceof ShareError) this.report.textContent = this.app.say("share_failed", { why: apart(error.message) });
      else throw error;
    }
  }

  /** A fault in words; a status of HTTP is one for those who know it. */
  private why(fault: string): string {
    return fault === "network" || fault === "reply" ? this.app.say(`why_${fault}`) : apart(fault);
  }

  private date(iso: string): string {
    return new Intl.DateTimeFormat(this.app.texts.language, { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));
  }
}

function handedOver(id: string, envelope: string | null, bundle: string | null): Handed | null {
  if (envelope !== null) return { name: `${id}.mpox`, text: envelope };
  return bundle === null ? null : { name: `${id}.fhir.json`, text: bundle };
}

function onlyServer(error: unknown): void {
  if (!(error instanceof ServerError)) throw error;
}
