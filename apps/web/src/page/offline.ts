/** The service worker: installed before the large files are fetched, so that each is fetched once. */

/** Wait until the files are kept on the phone and come from there; where a browser has no service worker, go on. */
export async function keptOffline(): Promise<boolean> {
  if (!("serviceWorker" in navigator)) return false;
  try {
    await active(await navigator.serviceWorker.register("service.js", { updateViaCache: "none" }));
    if (!navigator.serviceWorker.controller) {
      await new Promise<void>((done) =>
        navigator.serviceWorker.addEventListener("controllerchange", () => done(), { once: true }),
      );
    }
    return true;
  } catch {
    return false; // a private window, or a host that changed while it was read: this visit needs the network
  }
}

/** Wait for the first version to have every file; an error where one was missing or of another version. */
function active(registration: ServiceWorkerRegistration): Promise<void> {
  const { installing, waiting, active } = registration;
  const worker = installing ?? waiting;
  if (active || !worker) return Promise.resolve();
  return new Promise((done, failed) =>
    worker.addEventListener("statechange", () => {
      if (worker.state === "activated") done();
      if (worker.state === "redundant") failed(new Error("not every file could be kept"));
    }),
  );
}

/** Call `ready` with a function that starts a new version, once one has been fetched completely. */
export async function watchForUpdate(ready: (start: () => void) => void): Promise<void> {
  const registration = await navigator.serviceWorker.getRegistration();
  if (!registration) return;
  const offer = (): void => {
    const { waiting } = registration;
    if (!waiting) return;
    ready(() => {
      navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
      waiting.postMessage("take over");
    });
  };
  offer();
  registration.addEventListener("updatefound", () =>
    registration.installing?.addEventListener("statechange", offer),
  );
}
