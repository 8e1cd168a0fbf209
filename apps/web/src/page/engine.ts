/** The worker as functions that answer later. */

import { Answers, Request } from "../measure/messages";

export class UnreadableError extends Error {}

interface Reply {
  number: number;
  answer?: unknown;
  error?: string;
  unreadable?: boolean;
}

export class Engine {
  private readonly worker = new Worker("worker.js", { type: "module" });
  private readonly waiting = new Map<number, { resolve: (answer: never) => void; reject: (error: Error) => void }>();
  private count = 0;

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<Reply>) => this.settle(data);
    this.worker.onerror = (event) => this.fail(event.message || "the worker did not start");
  }

  ask<K extends Request["kind"]>(request: Request & { kind: K }, transfer: Transferable[] = []): Promise<Answers[K]> {
    const number = this.count++;
    return new Promise<Answers[K]>((resolve, reject) => {
      this.waiting.set(number, { resolve, reject });
      this.worker.postMessage({ number, request }, transfer);
    });
  }

  private settle({ number, answer, error, unreadable }: Reply): void {
    const one = this.waiting.get(number);
    this.waiting.delete(number);
    if (error === undefined) one?.resolve(answer as never);
    else one?.reject(unreadable ? new UnreadableError(error) : new Error(error));
  }

  private fail(why: string): void {
    for (const { reject } of this.waiting.values()) reject(new Error(why));
    this.waiting.clear();
  }
}
