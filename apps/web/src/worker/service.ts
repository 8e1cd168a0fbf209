/** The service worker: keeps every file of one version at the first visit, and gives them without a network. */

export {}; // a module, so that `self` may have its own type

declare const self: ServiceWorkerGlobalScope;
/** Written before this program by `python -m mpox.app`: each file's path and its SHA-256 in the form of `integrity`. */
declare const SITE: { version: string; files: Record<string, string> };

const PREFIX = `mpox ${self.registration.scope} `;
const CACHE = PREFIX + SITE.version;

self.addEventListener("install", (event) => event.waitUntil(keepAll()));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));
self.addEventListener("message", (event) => {
  if (event.data === "take over") void self.skipWaiting();
});
self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && url.startsWith(self.registration.scope)) event.respondWith(kept(event.request));
});

/** All or nothing: a file that is missing or of another version ends the installation, and the version before stays. */
async function keepAll(): Promise<void> {
  const cache = await caches.open(CACHE);
  const wanted = Object.entries(SITE.files);
  await cache.addAll(wanted.map(([path, integrity]) => new Request(path, { integrity, cache: "no-cache" })));
}

async function takeOver(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
  }
  await self.clients.claim();
}

async function kept(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  const path = request.mode === "navigate" ? "index.html" : request.url;
  return (await cache.match(path, { ignoreSearch: true })) ?? fetch(request);
}
