"use strict";
// Photos, maps and questions come embedded; answers live in the browser until they are exported.
const page = JSON.parse(document.getElementById("page").textContent);
const at = (id) => document.getElementById(id);
const COLUMNS = ["page", "rater", "photo_id", "reading", "question", "answer", "at", "locked_at"];
const COMMENT = "comment";
const READINGS = ["first", "second"];
let rater = null, order = [], place = 0, active = 0, mapOn = true, drawn = "";
let answers = {}; // photo id -> {first: {question: {answer, at}}, second: the same, locked_at}; a comment is a question

// ---- small things -------------------------------------------------------------------------------------------------
const note = (text) => { at("note").textContent = text; };
const now = () => new Date().toISOString();
const key = (name) => `mpox-review/${page.id}/${name}`;
function kept(name) {
  try { return localStorage.getItem(key(name)); } catch { return null; }
}
function save() {
  try { localStorage.setItem(key(rater), JSON.stringify(answers)); localStorage.setItem(key(""), rater); }
  catch { note("This browser refuses to save: export before you leave the page."); }
}
// One spelling of a name, in any script: composed letters, single spaces.
const spelled = (name) => name.normalize("NFC").trim().replace(/\s+/gu, " ");

// ---- what is asked and answered -----------------------------------------------------------------------------------
const given = (photo) => answers[photo.id] || { first: {}, second: {}, locked_at: "" };
const readingOf = (photo) => (given(photo).locked_at ? "second" : "first");
function asked(photo, reading) {
  if (reading === "second" && !photo.map && page.blinded) return []; // it shows nothing that the first did not
  return page.questions.filter((question) => question.reading === reading || question.reading === "both"
    || (question.reading === "map" && reading === "second" && photo.map));
}
const answered = (photo, reading) => asked(photo, reading).every((question) => given(photo)[reading][question.id]);
const complete = (photo) => readingOf(photo) === "second" && answered(photo, "second");

function store(question, value) {
  const photo = order[place], reading = readingOf(photo), entry = given(photo);
  entry[reading] = { ...entry[reading], [question]: { answer: value, at: now() } };
  if (value === "") delete entry[reading][question];
  answers[photo.id] = entry;
  save();
}
function answer(option) {
  const photo = order[place], reading = readingOf(photo), questions = asked(photo, reading);
  if (!questions.length) return;
  store(questions[active].id, option);
  note("");
  if (active + 1 < questions.length) active += 1;
  else if (complete(photo) && place + 1 < order.length) return goTo(place + 1);
  draw();
}
// Lock the first answers and show the map; in the second reading, go on. Nothing unlocks them.
function forward() {
  const photo = order[place], reading = readingOf(photo);
  if (!answered(photo, reading)) return note(`Answer every question first; “${page.cannot_tell}” is an answer too.`);
  note("");
  if (reading === "second") return nextOpen();
  answers[photo.id] = { ...given(photo), locked_at: now() };
  save();
  mapOn = true;
  goTo(place);
}

// ---- drawing ------------------------------------------------------------------------------------------------------
// One order a rater, the same after a reload: a generator (mulberry32) seeded by page and name, Fisher-Yates.
function shuffled(items, text) {
  let seed = 2166136261;
  for (const letter of text) seed = Math.imul(seed ^ letter.codePointAt(0), 16777619);
  const random = () => {
    seed = (seed + 0x6D2B79F5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const list = [...items];
  for (let k = list.length - 1; k > 0; k -= 1) {
    const other = Math.floor(random() * (k + 1));
    [list[k], list[other]] = [list[other], list[k]];
  }
  return list;
}
function begin(name) {
  rater = name;
  order = shuffled(page.photos, `${page.id}/${rater}`);
  answers = JSON.parse(kept(rater) || "{}");
  note("");
  save();
  at("rater-name").textContent = rater;
  document.querySelector("main").hidden = false;
  goTo(Math.max(0, order.findIndex((photo) => !complete(photo))));
}
function goTo(index) {
  place = Math.min(order.length - 1, Math.max(0, index));
  const photo = order[place], reading = readingOf(photo);
  active = Math.max(0, asked(photo, reading).findIndex((question) => !given(photo)[reading][question.id]));
  draw();
  window.scrollTo(0, 0);
}
function draw() {
  const photo = order[place], reading = readingOf(photo), state = `${rater}/${photo.id}/${reading}`;
  if (drawn !== state) layOut(photo, reading);
  drawn = state;
  at("map").style.opacity = mapOn ? at("opacity").value / 100 : 0;
  at("toggle").setAttribute("aria-pressed", mapOn);
  at("place").textContent = `photo ${place + 1} of ${order.length}`;
  const done = order.filter(complete).length;
  at("finished").textContent = done === order.length ? "all complete: export the CSV" : `${done} complete`;
  at("progress").max = order.length;
  at("progress").value = done;
  for (const [q, question] of asked(photo, reading).entries()) {
    const field = at("questions").children[q];
    field.classList.toggle("active", q === active);
    for (const button of field.querySelectorAll("button")) {
      button.setAttribute("aria-checked", given(photo)[reading][question.id]?.answer === button.value);
    }
    if (q === active) field.scrollIntoView({ block: "nearest" });
  }
  at("forward").disabled = !answered(photo, reading);
}
// What one reading of a photo shows: before its first answers are locked neither map nor the model's answer is there.
function layOut(photo, reading) {
  const second = reading === "second", map = second ? photo.map : "";
  at("photo").src = photo.photo;
  at("photo").dataset.id = photo.id;
  if (map) at("map").src = map; else at("map").removeAttribute("src");
  at("map").hidden = at("map-parts").hidden = !map;
  at("blank").hidden = !second || Boolean(photo.map);
  at("reading").textContent = second ? `Second reading: ${map ? "with the map" : "the map is blank"}`
    : "First reading: the photo alone";
  at("answer").textContent = second ? photo.answer || "" : "";
  at("answer").hidden = !at("answer").textContent;
  at("first").hidden = !second;
  at("first").replaceChildren(...(second ? firstAnswers(photo) : []));
  at("questions").replaceChildren(...asked(photo, reading).map(field));
  at("comment").value = given(photo)[reading][COMMENT]?.answer || "";
  at("forward-text").textContent = second ? "go to the next unfinished photo"
    : `lock these answers and show the map${page.blinded ? "" : " and the model's answer"}`;
}
function line(text) {
  const item = document.createElement("li");
  item.dir = "auto";
  item.textContent = text;
  return item;
}
function firstAnswers(photo) {
  const first = given(photo).first;
  const texts = asked(photo, "first").map((question) => `${question.text} ${first[question.id]?.answer}`);
  if (first[COMMENT]) texts.push(`Comment: ${first[COMMENT].answer}`);
  return [line("Your first answers, locked:"), ...texts.map(line)];
}
function field(question, q) {
  const box = document.createElement("fieldset"), legend = document.createElement("legend"), row = document.createElement("div");
  legend.textContent = question.text;
  row.className = "options";
  row.setAttribute("role", "radiogroup");
  row.setAttribute("aria-label", question.text);
  for (const [k, option] of [...question.options, page.cannot_tell].entries()) {
    const button = document.createElement("button"), hint = document.createElement("kbd");
    const last = k === question.options.length;
    button.type = "button";
    button.value = option;
    button.className = last ? "unsure" : "";
    button.setAttribute("role", "radio");
    hint.textContent = last ? 0 : k + 1;
    button.append(hint, option);
    button.addEventListener("click", () => { active = q; answer(option); });
    row.append(button);
  }
  box.append(legend, row);
  return box;
}

// ---- the ratings file ---------------------------------------------------------------------------------------------
const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
function asCsv() {
  const rows = [COLUMNS.join(",")];
  for (const photo of page.photos) {
    for (const reading of READINGS) {
      const locked = reading === "first" ? given(photo).locked_at : "";
      for (const [question, one] of Object.entries(given(photo)[reading])) {
        rows.push([page.id, rater, photo.id, reading, question, one.answer, one.at, locked].map(quoted).join(","));
      }
    }
  }
  return `\uFEFF${rows.join("\r\n")}\r\n`; // the mark tells spreadsheet programs that it is UTF-8
}
function exportCsv() {
  const link = document.createElement("a");
  // File names have at most 255 bytes, and not every letter.
  const name = [...rater.replace(/[^\p{L}\p{M}\p{N}._-]+/gu, "_")].slice(0, 40).join("");
  link.href = URL.createObjectURL(new Blob([asCsv()], { type: "text/csv" }));
  link.download = `ratings-${page.id}-${name}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  note(`Exported ${link.download}.`);
}
function parseCsv(text) { // rows of a CSV file (RFC 4180)
  const rows = [[""]];
  let inside = false;
  for (let k = 0; k < text.length; k += 1) {
    const letter = text[k], row = rows.at(-1);
    if (inside) {
      if (letter !== '"') row[row.length - 1] += letter;
      else if (text[k + 1] === '"') { row[row.length - 1] += '"'; k += 1; }
      else inside = false;
    } else if (letter === '"') inside = true;
    else if (letter === ",") row.push("");
    else if (letter === "\n") rows.push([""]);
    else if (letter !== "\r" && letter !== "\uFEFF") row[row.length - 1] += letter;
  }
  return rows.filter((row) => row.length > 1);
}
function importCsv(text) {
  const [head, ...rows] = parseCsv(text);
  if (!head || COLUMNS.some((name) => !head.includes(name))) return note("This file is no export of this page.");
  const photos = new Map(page.photos.map((photo) => [photo.id, photo]));
  const read = rows.map((row) => Object.fromEntries(head.map((name, k) => [name, row[k] ?? ""])));
  const good = read.filter((row) => row.page === page.id && spelled(row.rater) === rater && photos.has(row.photo_id)
    && READINGS.includes(row.reading) && fits(photos.get(row.photo_id), row));
  let taken = 0, locked = 0;
  for (const [id, photo] of photos) {
    const mine = good.filter((row) => row.photo_id === id), entry = structuredClone(given(photo));
    const lock = mine.find((row) => row.reading === "first" && row.locked_at)?.locked_at || "";
    if (lock && !entry.locked_at) Object.assign(entry, { first: {}, locked_at: lock });
    for (const { reading, question, answer: value, at: when } of mine) {
      const old = entry[reading][question];
      if (reading === "first" && given(photo).locked_at) { locked += old?.answer === value ? 0 : 1; continue; }
      if (reading === "second" && !entry.locked_at) { locked += 1; continue; }
      if (old && old.at >= when) continue;
      entry[reading][question] = { answer: value, at: when };
      taken += 1;
    }
    if (mine.length) answers[id] = entry;
  }
  save();
  drawn = "";
  goTo(Math.max(0, order.findIndex((photo) => !complete(photo))));
  const left = read.length - good.length;
  note(`${taken} answers taken${left ? `, ${left} left out: of another page, rater or question` : ""}` +
    `${locked ? `, ${locked} left out: the first answers to that photo are locked otherwise` : ""}.`);
}
function fits(photo, row) {
  if (row.question === COMMENT) return true;
  const question = asked(photo, row.reading).find(({ id }) => id === row.question);
  return Boolean(question) && [...question.options, page.cannot_tell].includes(row.answer);
}

// ---- keys ---------------------------------------------------------------------------------------------------------
const step = (by) => { at("opacity").value = Number(at("opacity").value) + by; mapOn = true; draw(); };
function nextOpen() {
  const ahead = [...order.keys()].map((k) => (place + 1 + k) % order.length).find((k) => !complete(order[k]));
  if (ahead === undefined) note("All photos are complete: export the CSV."); else goTo(ahead);
}
function mark(by) {
  const photo = order[place];
  active = Math.min(asked(photo, readingOf(photo)).length - 1, Math.max(0, active + by));
  draw();
}
function ask() {
  at("rater").value = kept("") || "";
  at("start").showModal();
  at("rater").select(); // another name replaces it
}
const keys = {
  " ": () => { mapOn = !mapOn; draw(); },
  "[": () => step(-10), "]": () => step(10),
  ArrowLeft: () => goTo(place - 1), ArrowRight: () => goTo(place + 1),
  ArrowUp: () => mark(-1), ArrowDown: () => mark(1), Enter: forward,
  u: nextOpen, e: exportCsv, i: () => at("file").click(), c: () => at("comment").focus(),
};
// What was pressed, whatever the keyboard's layout: letters and digits by their place where they are other signs there.
function pressed(event) {
  if (keys[event.key] || /^[0-9]$/.test(event.key)) return event.key;
  if (/^[a-z]$/i.test(event.key)) return event.key.toLowerCase();
  return /^(?:Digit|Numpad|Key)([0-9A-Z])$/.exec(event.code)?.[1].toLowerCase() || event.key;
}
document.addEventListener("keydown", (event) => {
  const typesSign = event.getModifierState("AltGraph"); // as brackets are on many keyboards
  if (at("start").open || event.metaKey || ((event.ctrlKey || event.altKey) && !typesSign)) return;
  if (event.target.id === "comment") { if (event.key === "Escape") event.target.blur(); return; }
  if (event.target.id === "opacity" && event.key.startsWith("Arrow")) return;
  // A button reached by Tab: these press it.
  if (event.target.matches("button") && (event.key === "Enter" || event.key === " ")) return;
  const name = pressed(event), photo = order[place];
  const options = asked(photo, readingOf(photo))[active]?.options || [];
  const chosen = name === "0" ? page.cannot_tell : /^[1-9]$/.test(name) ? options[name - 1] : undefined;
  if (chosen === undefined && !keys[name]) return;
  event.preventDefault();
  if (event.repeat && !name.startsWith("Arrow")) return; // a key held down must not answer the next photo
  if (chosen !== undefined) answer(chosen); else keys[name]();
});
// A click leaves the keys to the page, not to what was clicked; first of all, or a dialog gives the focus back to it.
document.addEventListener("click", (event) => { if (event.detail) event.target.closest("button")?.blur(); }, true);
at("opacity").addEventListener("pointerup", (event) => event.target.blur());

// ---- start --------------------------------------------------------------------------------------------------------
at("toggle").addEventListener("click", keys[" "]);
at("opacity").addEventListener("input", () => { mapOn = true; draw(); });
at("comment").addEventListener("input", (event) => store(COMMENT, event.target.value.trim()));
at("forward").addEventListener("click", forward);
at("back").addEventListener("click", keys.ArrowLeft);
at("next").addEventListener("click", keys.ArrowRight);
at("open").addEventListener("click", nextOpen);
at("export").addEventListener("click", exportCsv);
at("import").addEventListener("click", keys.i);
at("leave").addEventListener("click", ask);
at("file").addEventListener("change", async (event) => {
  if (event.target.files.length) importCsv(await event.target.files[0].text());
  event.target.value = "";
});
at("start").addEventListener("cancel", (event) => { if (!rater) event.preventDefault(); });
at("rater").addEventListener("input", (event) => {
  event.target.setCustomValidity(spelled(event.target.value) ? "" : "Type your name or initials.");
});
// On submit, at once: the dialog's close event comes later, and a key between the two would be taken as the previous
// rater's answer.
document.querySelector("#start form").addEventListener("submit", () => begin(spelled(at("rater").value)));
at("start").addEventListener("close", () => { if (!rater) ask(); });
const last = kept("");
if (last) begin(last); else ask();
