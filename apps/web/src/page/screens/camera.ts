/** One photo, from the camera with guidance or from a file: an overview, or a close-up that the model judges. */

import { Taken } from "../../measure/messages";
import { faults, Quality } from "../../measure/quality";
import { countRefused, countTaken } from "../../referral/counts";
import { App } from "../app";
import { addPhoto } from "../case";
import { button, element, fileButton, show } from "../dom";
import { UnreadableError } from "../engine";

// Milliseconds between two looks at what the camera sees.
const INTERVAL = 300;

export const overview = (app: App): Promise<void> => camera(app, "overview");
export const closeUp = (app: App): Promise<void> => camera(app, "close_up");

async function camera(app: App, view: "overview" | "close_up"): Promise<void> {
  const video = element("video", { autoplay: true, playsinline: true, muted: true, "aria-label": app.say("camera_view") });
  video.muted = true;
  const guidance = element("p", { role: "status", class: "guidance" }, app.say("camera_starting"));
  const refusal = element("p", { role: "alert", class: "warning" });
  const shot = new Shot(app, view, refusal);
  const take = button(app.say("take"), () => void shot.fromFrame(video), "primary");
  take.disabled = true;
  const choose = fileButton(app.say("choose"), { id: "file", accept: "image/*" }, (file) => shot.fromFile(file));
  const frame = element("div", { class: "camera" }, video, element("div", { class: "ring" }));
  show(
    app.say(view),
    element("p", {}, app.say(`${view}_how`)),
    frame,
    guidance,
    refusal,
    element("div", { class: "actions" }, take, choose, skip(app, view)),
    element("p", { class: "small" }, app.say("light")),
  );
  await watch(app, shot, { video, frame, guidance, take });
}

function skip(app: App, view: "overview" | "close_up"): HTMLElement | null {
  if (view === "overview") return button(app.say("skip"), () => app.go("close_up"));
  return app.case.photos.some((photo) => photo.found) ? button(app.say("skip"), () => app.go("photos")) : null;
}

interface View {
  video: HTMLVideoElement;
  frame: HTMLElement;
  guidance: HTMLElement;
  take: HTMLButtonElement;
}

/** Start the camera and say what it sees until the screen is left. */
async function watch(app: App, shot: Shot, { video, frame, guidance, take }: View): Promise<void> {
  let stream: MediaStream | null = null;
  app.leave = () => {
    shot.left = true;
    stream?.getTracks().forEach((track) => track.stop());
  };
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { facingMode: "environment", width: { ideal: 1920 }, height: { ideal: 1080 } },
    });
    if (shot.left) return stream.getTracks().forEach((track) => track.stop());
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    frame.hidden = true;
    if (!shot.left) guidance.textContent = app.say("camera_none", { why: error instanceof Error ? error.name : String(error) });
    return;
  }
  await opened(app);
  try {
    while (!shot.left) {
      if (video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) await guide(app, video, guidance, take);
      await new Promise((later) => setTimeout(later, INTERVAL));
    }
  } catch (error) {
    if (!shot.left) throw error; // a camera that was switched off gives no picture
  }
}

/** Look once: say what is wrong, or that all is well, and let a photo be taken only then. */
async function guide(app: App, video: HTMLVideoElement, guidance: HTMLElement, take: HTMLButtonElement): Promise<void> {
  const seen = await createImageBitmap(video);
  const quality = await app.ask({ kind: "watch", frame: seen }, [seen]);
  const why = complaint(app, quality);
  const text = why ?? app.say("camera_good");
  if (guidance.textContent !== text) guidance.textContent = text; // else screen readers repeat it
  guidance.classList.toggle("good", why === null);
  take.disabled = why !== null;
}

function complaint(app: App, quality: Quality): string | null {
  const found = faults(quality, app.site.limits);
  return found.length ? app.say(`fault_${found[0]}`) : null;
}

/** Until the worker has the model; a failure is reported where the answer is asked for. */
async function opened(app: App): Promise<void> {
  await app.tested.catch(() => undefined);
}

/** A photo on its way into the case. */
class Shot {
  /** Whether its screen is no longer shown: what is under way then is dropped. */
  left = false;
  private busy = false;

  constructor(
    private readonly app: App,
    private readonly view: "overview" | "close_up",
    private readonly refusal: HTMLElement,
  ) {}

  fromFrame(video: HTMLVideoElement): Promise<void> {
    return this.keep(async () => {
      const frame = await createImageBitmap(video);
      return this.app.ask({ kind: "frame", frame }, [frame]);
    });
  }

  fromFile(file: File): Promise<void> {
    return this.keep(() => this.app.ask({ kind: "photo", blob: file }));
  }

  private async keep(take: () => Promise<Taken>): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    this.refusal.textContent = this.app.say("working");
    try {
      await opened(this.app);
      const taken = await take();
      const [fault] = faults(taken.quality, this.app.site.limits);
      if (fault !== undefined) {
        this.app.count((counted) => countRefused(counted, fault));
        this.refusal.textContent = this.app.say("refused", { why: this.app.say(`fault_${fault}`) });
        return;
      }
      if (this.left) return;
      const judged = this.view === "close_up";
      if (judged) this.app.count(countTaken);
      const found = judged ? await this.app.ask({ kind: "classify", picture: taken.picture }) : null;
      if (this.left) return;
      addPhoto(this.app.case, { ...taken, view: this.view, at: new Date(), found });
      this.app.go(judged ? "photos" : "close_up");
    } catch (error) {
      if (!(error instanceof UnreadableError)) throw error;
      this.app.count((counted) => countRefused(counted, "unreadable"));
      this.refusal.textContent = this.app.say("unreadable");
    } finally {
      this.busy = false;
    }
  }
}
