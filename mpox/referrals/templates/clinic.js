"use strict";
// The queue and the cases come from this page's own server; what a stranger wrote is set as text, never as markup.
const at = (id) => document.getElementById(id);
const BLIND = document.body.dataset.blind === "yes";
const CANNOT_TELL = "cannot tell";
const OUTCOMES = {
  suspected: "Suspected: the model's answer is mpox.",
  not_ruled_out: "Not ruled out: not the model's first answer, but above its threshold.",
  unclear: "Unclear: the model is not sure enough to say.",
  not_suspected: "Not suspected: the model's answer is not mpox.",
};
const LOOK = 5000, RENEW = 60000; // milliseconds
let queue = { cases: [], refused: [], others: 0, troubles: [] };
let marked = null; // id of the case that is marked in the list
let open = null; // the case that is open, as the server gave it
let label = null, shown = 0, mapOn = true, busy = false;

// ---- small things -------------------------------------------------------------------------------------------------
let fading;
function note(text) {
  at("note").textContent = text;
  clearTimeout(fading);
  if (text) fading = setTimeout(() => { at("note").textContent = ""; }, 8000);
}
const session = sessionStorage.getItem("session") || crypto.randomUUID();
sessionStorage.setItem("session", session);
let clinician = sessionStorage.getItem("name");
const spelled = (name) => name.normalize("NFC").trim().replace(/\s+/gu, " ");
function make(tag, text, properties = {}) {
  const one = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) one.textContent = text;
  return one;
}
function age(text) {
  const minutes = Math.max(0, Math.round((Date.now() - Date.parse(text)) / 60000));
  const [number, unit] = minutes < 60 ? [minutes, "minute"] : minutes < 2880 ? [Math.round(minutes / 60), "hour"] : [Math.round(minutes / 1440), "day"];
  return new Intl.RelativeTimeFormat("en", { numeric: "always" }).format(-number, unit);
}
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
const percent = (share) => `${(100 * share).toFixed(1)} %`;

// ---- the server ---------------------------------------------------------------------------------------------------
async function ask(path, body) {
  let response, content;
  try {
    const sent = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ session, name: clinician, ...body }) };
    response = await fetch(path, sent);
    content = await response.json();
  } catch {
    throw new Error("The program does not answer: is it still running? Nothing was sent.");
  }
  if (!response.ok) throw new Error(content.error);
  return content;
}
// One step at a time; a mistake is one line, and what was typed stays.
async function step(work) {
  if (busy) return;
  busy = true;
  try { await work(); } catch (error) { note(error.message); } finally { busy = false; }
}
async function look() {
  try {
    queue = await ask(`queue?session=${encodeURIComponent(session)}`);
    drawList();
  } catch (error) {
    queue = { ...queue, troubles: [error.message] };
    drawList();
  }
}

// ---- the list -----------------------------------------------------------------------------------------------------
const waiting = () => queue.cases.filter((one) => one.state === "open");
function drawList() {
  if (!clinician) return;
  const focused = document.activeElement?.dataset?.id;
  const cases = waiting();
  if (!cases.some((one) => one.id === marked)) marked = cases[0]?.id ?? null;
  at("list-title").textContent = `Waiting: ${cases.length}`;
  at("waiting").replaceChildren(...cases.map(row));
  at("nothing").hidden = cases.length > 0;
  const closed = queue.cases.filter((one) => one.state !== "open");
  at("done-part").hidden = !closed.length;
  at("done-count").textContent = closed.length < queue.closed ? `${queue.closed}, the last ${closed.length} here` : closed.length;
  at("done").replaceChildren(...closed.map(closedRow));
  at("refused-part").hidden = !queue.refused.length;
  at("refused-count").textContent = queue.refused.length;
  at("refused").replaceChildren(...queue.refused.map((text) => make("li", text)));
  at("troubles").hidden = !queue.troubles.length;
  at("troubles").replaceChildren(...queue.troubles.map((text) => make("li", text)));
  if (focused) document.querySelector(`#waiting [data-id="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}
function row(one, k) {
  const item = make("li"), button = make("button", undefined, { type: "button" });
  const others = one.holder && !one.own;
  button.dataset.id = one.id;
  button.setAttribute("aria-current", one.id === marked);
  button.append(make("span", `${k + 1}.`), make("span", `asked ${age(one.authored)} · ${one.photos} photo${one.photos === 1 ? "" : "s"} · ${one.id.slice(0, 8)}`));
  const held = make("span", undefined, { className: "state" });
  if (others) held.append(make("bdi", one.holder), ` works on it, until ${clock(one.until)} at least`);
  else if (one.holder) held.append("open with you");
  button.append(held);
  button.addEventListener("click", () => { marked = one.id; step(() => enter(one.id)); });
  item.append(button);
  return item;
}
const WAYS = { answering: "on its way", answered: "sent", elsewhere: "another clinic answered first: not sent" };
function closedRow(one) {
  const item = make("li", undefined, { className: "closed" });
  item.append(make("span", one.id.slice(0, 8)), make("strong", one.label ?? "no answer"), make("bdi", one.clinician ?? "", { className: "soft" }));
  const way = one.label === null ? "closed at the server by others" : WAYS[one.state];
  item.append(make("span", one.trouble || way, { className: one.trouble ? "warning" : "soft" }));
  return item;
}
function mark(by) {
  const ids = waiting().map((one) => one.id);
  marked = ids[Math.min(ids.length - 1, Math.max(0, ids.indexOf(marked) + by))] ?? null;
  drawList();
  document.querySelector('#waiting [aria-current="true"]')?.scrollIntoView({ block: "nearest" });
}

// ---- a case -------------------------------------------------------------------------------------------------------
async function enter(id) {
  open = await ask("open", { id });
  label = null;
  at("words").value = "";
  shown = Math.max(0, photos().findIndex((one) => one.kind === "close-up"));
  note("");
  show("case");
  drawCase();
  at("reading").focus();
}
async function leave() {
  const id = open.id;
  open = null;
  show("list");
  await ask("release", { id });
  await look();
}
function show(which) {
  at("list").hidden = which !== "list";
  at("case").hidden = which !== "case";
  window.scrollTo(0, 0);
  if (which === "list") { drawList(); at("list-title").focus(); }
}
const photos = () => open.pictures.filter((one) => one.kind !== "map");
const mapOf = (photo) => open.pictures.find((one) => one.of === photo.n);
const source = (picture) => `picture/${open.id}/${picture.n}?session=${encodeURIComponent(session)}`;

function drawCase() {
  const result = open.result, second = Boolean(result);
  at("reading").textContent = !BLIND ? "Your answer" : second ? "Second reading: with the model's result" : "First reading: the photos alone";
  at("facts").textContent = `Case ${open.id.slice(0, 8)}, asked ${age(open.authored)}`;
  at("lease").textContent = `yours until ${clock(open.until)}`;
  at("answers").replaceChildren(...open.answers.flatMap(([question, answer]) => [bidi("dt", question), bidi("dd", answer)]));
  at("consent").textContent = open.consent;
  at("result").hidden = at("words-part").hidden = !second;
  if (second) drawResult(result);
  at("first").hidden = !(BLIND && open.first);
  at("first").textContent = `Your first answer, locked: ${open.first}`;
  at("question").textContent = second ? "Your final answer" : "What do you see?";
  if (second && label === null && open.first) label = open.first;
  at("choices").replaceChildren(...open.choices.map(choice));
  at("forward-text").textContent = second ? "send this answer" : "lock this answer and show the model's result";
  at("forward").disabled = label === null;
  drawPhotos();
}
function bidi(tag, text) {
  return make(tag, text, { dir: "auto" });
}
function choice(name, k) {
  const last = name === CANNOT_TELL;
  const button = make("button", undefined, { type: "button", value: name, className: last ? "unsure" : "" });
  button.setAttribute("role", "radio");
  button.setAttribute("aria-checked", name === label);
  const key = last ? "0" : k < 9 ? String(k + 1) : "";
  if (key) button.append(make("kbd", key));
  button.append(make("bdi", name));
  button.addEventListener("click", () => choose(name));
  return button;
}
function choose(name) {
  const focused = document.activeElement?.value;
  label = name;
  drawCase();
  if (focused) [...at("choices").children].find((one) => one.value === focused)?.focus();
}
function drawResult(result) {
  at("outcome").textContent = OUTCOMES[result.outcome];
  at("probabilities").replaceChildren(...result.probabilities.map(([name, share]) => {
    const line = make("tr"), bar = make("td", undefined, { className: "bar" }), length = make("div");
    length.style.width = `${100 * share}%`;
    bar.append(length);
    const head = make("th");
    head.scope = "row";
    head.append(make("bdi", name));
    line.append(head, bar, make("td", percent(share)));
    return line;
  }));
  at("threshold").hidden = result.threshold === null;
  at("threshold").textContent = `The model's threshold for mpox: ${percent(result.threshold ?? 0)}`;
  const { name, version, sha256, note: about } = result.model;
  const parts = [name, version && `version ${version}`, sha256 && `SHA-256 ${sha256.slice(0, 12)}…`, about].filter(Boolean);
  // Each apart: a mark of direction in one must not turn the others round.
  at("model").replaceChildren(...parts.flatMap((part, k) => (k ? [" · ", make("bdi", part)] : [make("bdi", part)])));
}
function drawPhotos() {
  const all = photos(), photo = all[shown], map = mapOf(photo);
  const { width, height } = photo;
  if (at("photo").getAttribute("src") !== source(photo)) at("photo").src = source(photo);
  at("photo").alt = photo.title;
  at("stage").style.aspectRatio = `${width} / ${height}`;
  at("map").hidden = at("map-parts").hidden = !map;
  if (map) {
    const side = Math.min(width, height), across = (100 * side) / width, down = (100 * side) / height;
    if (at("map").getAttribute("src") !== source(map)) at("map").src = source(map);
    Object.assign(at("map").style, { width: `${across}%`, height: `${down}%`, left: `${(100 - across) / 2}%`, top: `${(100 - down) / 2}%` });
    at("map").style.opacity = mapOn ? at("opacity").value / 100 : 0;
    at("toggle").setAttribute("aria-pressed", mapOn);
  } else at("map").removeAttribute("src");
  const known = [...at("thumbs").children].map((one) => one.value).join() === all.map(source).join();
  if (!known) at("thumbs").replaceChildren(...all.map(thumb));
  for (const [k, button] of [...at("thumbs").children].entries()) button.setAttribute("aria-pressed", k === shown);
  at("thumbs").hidden = at("previous").hidden = at("next").hidden = all.length < 2;
}
function thumb(photo, k) {
  const button = make("button", undefined, { type: "button", value: source(photo) });
  button.append(make("img", undefined, { src: source(photo), alt: "" }), make("bdi", photo.title));
  button.addEventListener("click", () => turn(k - shown));
  return button;
}
function turn(by) {
  shown = Math.min(photos().length - 1, Math.max(0, shown + by));
  drawPhotos();
}
async function forward() {
  if (label === null) return note("Choose an answer first; “cannot tell” is an answer too.");
  if (open.result) return confirmed();
  open = await ask("first", { id: open.id, label });
  mapOn = true;
  note("");
  drawCase();
  at("reading").focus();
  window.scrollTo(0, 0);
}
function confirmed() {
  at("sure-label").textContent = label;
  at("sure-words").textContent = at("words").value.trim();
  at("sure-words").hidden = !at("words").value.trim();
  at("sure").returnValue = "";
  at("sure").showModal();
}
async function send() {
  await ask("answer", { id: open.id, label, words: at("words").value });
  open = null;
  show("list");
  note("The answer is kept and on its way.");
  await look();
}

// ---- keys ---------------------------------------------------------------------------------------------------------
const fade = (by) => { at("opacity").value = Number(at("opacity").value) + by; mapOn = true; drawPhotos(); };
const LIST_KEYS = {
  ArrowUp: () => mark(-1), ArrowDown: () => mark(1), Enter: () => marked && step(() => enter(marked)),
};
const CASE_KEYS = {
  " ": () => { mapOn = !mapOn; drawPhotos(); }, "[": () => fade(-10), "]": () => fade(10),
  ArrowLeft: () => turn(-1), ArrowRight: () => turn(1), Enter: () => step(forward), Escape: () => step(leave),
  c: () => { if (!at("words-part").hidden) at("words").focus(); },
};
// What was pressed, whatever the keyboard's layout: letters and digits by their place where they are other signs there.
function pressed(event, keys) {
  if (keys[event.key] || /^[0-9]$/.test(event.key)) return event.key;
  if (/^[a-z]$/i.test(event.key)) return event.key.toLowerCase();
  return /^(?:Digit|Numpad|Key)([0-9A-Z])$/.exec(event.code)?.[1].toLowerCase() || event.key;
}
document.addEventListener("keydown", (event) => {
  const typesSign = event.getModifierState("AltGraph"); // as brackets are on many keyboards
  if (at("start").open || at("sure").open || event.metaKey || ((event.ctrlKey || event.altKey) && !typesSign)) return;
  if (event.target.id === "words") { if (event.key === "Escape") { event.preventDefault(); event.target.blur(); } return; }
  if (event.target.id === "opacity" && event.key.startsWith("Arrow")) return;
  // A button or a summary reached by Tab: these press it.
  if (event.target.matches("button, summary") && (event.key === "Enter" || event.key === " ")) return;
  const keys = open ? CASE_KEYS : LIST_KEYS, name = pressed(event, keys);
  const classes = open ? open.choices.filter((one) => one !== CANNOT_TELL) : [];
  const chosen = !open ? undefined : name === "0" ? CANNOT_TELL : /^[1-9]$/.test(name) ? classes[name - 1] : undefined;
  if (chosen === undefined && !keys[name]) return;
  event.preventDefault();
  if (event.repeat && !name.startsWith("Arrow")) return; // a key held down must not answer the next case
  if (chosen !== undefined) choose(chosen); else keys[name]();
});
// A click leaves the keys to the page, not to what was clicked; first of all, or a dialog gives the focus back to it.
document.addEventListener("click", (event) => { if (event.detail) event.target.closest("button")?.blur(); }, true);
at("opacity").addEventListener("pointerup", (event) => event.target.blur());

// ---- start --------------------------------------------------------------------------------------------------------
function who() {
  at("clinician").value = clinician || "";
  at("start").showModal();
  at("clinician").select();
}
function begin(name) {
  clinician = name;
  sessionStorage.setItem("name", name);
  at("name").textContent = name;
  show("list");
  look();
}
at("toggle").addEventListener("click", CASE_KEYS[" "]);
at("opacity").addEventListener("input", () => { mapOn = true; drawPhotos(); });
at("forward").addEventListener("click", () => step(forward));
at("back").addEventListener("click", () => step(leave));
at("previous").addEventListener("click", () => turn(-1));
at("next").addEventListener("click", () => turn(1));
at("leave").addEventListener("click", () => step(async () => { if (open) await leave(); who(); }));
at("start").addEventListener("cancel", (event) => { if (!clinician) event.preventDefault(); });
at("clinician").addEventListener("input", (event) => {
  event.target.setCustomValidity(spelled(event.target.value) ? "" : "Type your name or initials.");
});
document.querySelector("#start form").addEventListener("submit", () => begin(spelled(at("clinician").value)));
at("start").addEventListener("close", () => { if (!clinician) who(); });
at("sure").addEventListener("close", () => { if (at("sure").returnValue === "send") step(send); });
setInterval(() => { if (clinician && !open) look(); }, LOOK);
setInterval(async () => {
  if (!open) return;
  const { id } = open;
  try {
    const { until } = await ask("renew", { id });
    if (open?.id === id) { open.until = until; at("lease").textContent = `yours until ${clock(until)}`; }
  } catch (error) { note(error.message); }
}, RENEW);
if (clinician) begin(clinician); else who();
