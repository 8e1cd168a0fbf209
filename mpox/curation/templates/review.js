"use strict";
// The audit's photos, findings and pairs come embedded; decisions live in the browser until they are exported.
const audit = JSON.parse(document.getElementById("audit").textContent);
const photos = new Map(audit.photos.map((photo) => [photo.id, photo]));
const labels = audit.labels;
const STORE = `mpox-review:${audit.key}`;
const CHUNK = 48; // photos drawn at once; more follow as the page is scrolled
const COLUMNS = ["photo_id", "decision", "label", "box", "reason", "reviewer", "at"];
const WORDS = { keep: "kept", drop: "dropped", relabel: "relabelled" };
const $ = (id) => document.getElementById(id);

let decisions = {}; // photo id -> {decision, label, box, reason, reviewer, at}
let sheets = []; // {kind, title, hint, groups: [[photo id]]}, a plain finding's groups hold one photo each
let current = null; // the sheet on show
let shown = []; // its groups that pass the filters
let drawn = 0; // how many of them are drawn
let cards = new Map(); // photo id -> its card
let open = null; // photo id in the large view

// ---- small things -------------------------------------------------------------------------------------------------
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}
function showStatus(text) {
  $("status").textContent = text;
  clearTimeout(showStatus.timer);
  showStatus.timer = setTimeout(() => { $("status").textContent = ""; }, 5000);
}
function option(value, text) { return make("option", { value }, text); }
function save() {
  try {
    localStorage.setItem(STORE, JSON.stringify({ reviewer: $("reviewer").value, decisions }));
  } catch { $("unsaved").hidden = false; }
}
function load() {
  try {
    const saved = JSON.parse(localStorage.getItem(STORE) || "{}");
    $("reviewer").value = saved.reviewer || "";
    for (const [id, row] of Object.entries(saved.decisions || {})) if (photos.has(id)) decisions[id] = row;
  } catch { $("unsaved").hidden = false; }
}

// ---- sheets -------------------------------------------------------------------------------------------------------
function components(edges) {
  const parent = new Map();
  const root = (id) => {
    while (parent.get(id) !== id) { parent.set(id, parent.get(parent.get(id))); id = parent.get(id); }
    return id;
  };
  for (const edge of edges) for (const id of edge) if (!parent.has(id)) parent.set(id, id);
  for (const [a, b] of edges) parent.set(root(a), root(b));
  const found = new Map();
  for (const id of [...parent.keys()].sort()) {
    if (!found.has(root(id))) found.set(root(id), []);
    found.get(root(id)).push(id);
  }
  return [...found.values()];
}
function buildSheets() {
  const byGroup = new Map();
  for (const photo of audit.photos) {
    if (!byGroup.has(photo.group)) byGroup.set(photo.group, []);
    byGroup.get(photo.group).push(photo.id);
  }
  const sheetOf = ({ kind, title, hint }) => {
    const edges = audit.pairs.filter((pair) => pair[2] === kind).map(([a, b]) => [a, b]);
    const single = [];
    for (const photo of audit.photos) {
      for (const [name, , other] of photo.findings) {
        if (name !== kind) continue;
        if (other && photos.has(other)) edges.push([photo.id, other]);
        else single.push([photo.id]);
      }
    }
    const groups = components(edges);
    const inGroup = new Set(groups.flat());
    const alone = new Map(single.filter(([id]) => !inGroup.has(id)).map((group) => [group[0], group]));
    return { kind, title, hint, groups: [...groups, ...alone.values()] };
  };
  sheets = audit.kinds.map(sheetOf).filter((sheet) => sheet.groups.length);
  const groups = [...byGroup.values()].filter((group) => group.length > 1);
  if (groups.length) {
    sheets.push({ kind: "group", title: "All groups", groups,
      hint: "Photos of one subject or one source. A group is never split between folds." });
  }
  sheets.push({ kind: "all", title: "All photos", groups: audit.photos.map((photo) => [photo.id]),
    hint: "Every photo, flagged or not." });
}
function undecided(groups) {
  let count = 0;
  for (const group of groups) for (const id of group) if (!decisions[id]) count += 1;
  return count;
}
function drawSheets() {
  $("sheets").replaceChildren(...sheets.map((sheet) => make("button",
    { "data-kind": sheet.kind, "aria-current": String(sheet === current), onclick: () => choose(sheet.kind) },
    make("span", {}, sheet.title), make("span", {}))));
  $("sheet").replaceChildren(...sheets.map((sheet) => option(sheet.kind, sheet.title)));
  countSheets();
}
function countSheets() {
  for (const [k, sheet] of sheets.entries()) {
    const left = undecided(sheet.groups), all = sheet.groups.reduce((sum, group) => sum + group.length, 0);
    const count = $("sheets").children[k].lastChild;
    count.textContent = left ? `${left} left` : "done";
    count.title = `${left} of ${all} photos undecided`;
    $("sheet").options[k].textContent = `${sheet.title} (${left} of ${all} undecided)`;
  }
  const flagged = audit.photos.filter((photo) => photo.findings.length);
  const done = flagged.filter((photo) => decisions[photo.id]).length;
  $("progress").max = Math.max(flagged.length, 1);
  $("progress").value = done;
  $("progress-text").textContent = `${done} of ${flagged.length} flagged photos decided; ` +
    `${Object.keys(decisions).length} of ${audit.photos.length} in all`;
}
function choose(kind) {
  current = sheets.find((sheet) => sheet.kind === kind) || sheets[0];
  $("sheet").value = current.kind;
  for (const button of $("sheets").children) button.setAttribute("aria-current", String(button.dataset.kind === current.kind));
  filter();
}

// ---- filters and drawing ------------------------------------------------------------------------------------------
function passes(id) {
  const photo = photos.get(id), decision = decisions[id]?.decision;
  const state = $("state").value;
  return (!$("label").value || photo.label === $("label").value)
    && (!$("source").value || photo.source === $("source").value)
    && (!state || (state === "undecided" ? !decision : state === "decided" ? decision : decision === state))
    && (!$("search").value || id.toLowerCase().includes($("search").value.toLowerCase()));
}
function filter() {
  shown = current.groups.filter((group) => group.some(passes)); // a group stays whole: its photos are to be compared
  const count = shown.reduce((sum, group) => sum + group.length, 0);
  const several = shown.filter((group) => group.length > 1).length;
  $("sheet-title").textContent = `${current.title}: ${count} photo${count === 1 ? "" : "s"}` +
    (several ? ` in ${shown.length} group${shown.length === 1 ? "" : "s"}` : "");
  $("sheet-hint").textContent = current.hint;
  $("content").replaceChildren();
  cards = new Map();
  drawn = 0;
  if (!shown.length) $("content").append(make("p", { class: "empty" }, "No photo here passes the filters."));
  window.scrollTo(0, 0);
  more();
}
function more() {
  const start = drawn;
  let count = 0;
  while (drawn < shown.length && count < CHUNK) {
    const group = shown[drawn];
    drawn += 1;
    count += group.length;
    if (group.length > 1) {
      const title = make("h3", {}, `${group.length} photos: ${groupEvidence(group)}`);
      $("content").append(make("section", { class: "group" }, title, make("div", { class: "grid" }, ...group.map(card))));
    } else {
      if (!$("content").lastElementChild?.classList.contains("grid")) $("content").append(make("div", { class: "grid" }));
      $("content").lastElementChild.append(card(group[0]));
    }
  }
  if (start === 0) cards.values().next().value?.setAttribute("tabindex", "0");
  return drawn > start;
}
function groupEvidence(group) {
  const inside = new Set(group);
  const pairs = audit.pairs.filter(([a, b, kind]) => inside.has(a) && inside.has(b)
    && (current.kind === "group" || kind === current.kind));
  if (!pairs.length) return photos.get(group[0]).findings.find(([kind]) => kind === current.kind)?.[1] || photos.get(group[0]).group;
  return pairs[0][3] + (pairs.length > 1 ? ` (and ${pairs.length - 1} more pairs)` : "");
}
function near() { // draws until the sentinel is well below the window
  while ($("sentinel").getBoundingClientRect().top < window.innerHeight * 2 && more());
}

// ---- one card -----------------------------------------------------------------------------------------------------
function buttons(id) {
  return ["keep", "drop", "relabel"].map((name) => make("button",
    { class: name, "data-action": name, "aria-pressed": "false", onclick: () => act(id, name) },
    name[0].toUpperCase() + name.slice(1)));
}
function card(id) {
  const photo = photos.get(id);
  const wanted = photo.findings.filter(([kind]) => kind === current.kind);
  const why = (wanted.length ? wanted : photo.findings).map(([, evidence]) => evidence);
  const text = [...new Set(why)].join("; ");
  const picture = make("button", { class: "picture", "aria-label": "Look at it large", onclick: () => view(id) },
    photo.thumb ? make("img", { src: photo.thumb, alt: "", decoding: "async" }) : make("span", { class: "none" }, photo.reason));
  const element = make("article", { class: "card", tabindex: "-1", "data-id": id, onfocusin: () => rove(id) },
    picture,
    make("div", { class: "text" },
      make("div", { class: "name" }, make("b", {}, photo.label), make("span", { title: id }, make("bdi", {}, photo.path))),
      make("div", { class: "why", title: text }, text)),
    make("div", { class: "choose" }, make("div", { class: "buttons" }, ...buttons(id)), make("div", { class: "extra" })));
  cards.set(id, element);
  refresh(id);
  for (const control of element.querySelectorAll("button")) control.tabIndex = -1;
  return element;
}
function refresh(id) { // shows a photo's decision wherever it is drawn
  const row = decisions[id], element = cards.get(id), photo = photos.get(id);
  for (const place of [element, open === id ? $("viewer") : null]) {
    for (const button of place?.querySelectorAll("[data-action]") || []) {
      button.setAttribute("aria-pressed", String(button.dataset.action === row?.decision));
    }
  }
  if (!element) return;
  element.dataset.decision = row?.decision || "";
  const verdict = row ? WORDS[row.decision] + (row.label ? `: ${row.label}` : "") : "";
  element.setAttribute("aria-label", `${photo.label}, ${photo.path}, ${verdict || "undecided"}`);
  element.querySelector(".badge")?.remove();
  if (row) element.querySelector(".picture").append(make("span", { class: `badge ${row.decision}` }, verdict + (row.box ? ", box" : "")));
  const extra = element.querySelector(".extra");
  const tab = element.tabIndex;
  extra.replaceChildren();
  if (row) {
    extra.append(make("input", { list: "reasons", value: row.reason, placeholder: "reason", "aria-label": "Reason",
      class: "reason", tabindex: tab, onchange: (event) => { row.reason = event.target.value.trim(); row.reviewer = ""; save(); } }));
  }
}
function rove(id) { // one card at a time is in the tab order, with its controls
  for (const element of document.querySelectorAll('.card[tabindex="0"]')) setTab(element, -1);
  setTab(cards.get(id), 0);
}
function setTab(element, value) {
  element.tabIndex = value;
  for (const control of element.querySelectorAll("button, input, select")) control.tabIndex = value;
}
function marked() { // the card that keys act on
  return document.querySelector('.card[tabindex="0"]')?.dataset.id;
}
function inView(id) {
  const box = cards.get(id).getBoundingClientRect();
  return box.bottom > document.querySelector("header").getBoundingClientRect().bottom && box.top < window.innerHeight;
}
function focusCard(id) {
  cards.get(id)?.focus({ preventScroll: true });
  cards.get(id)?.scrollIntoView({ block: "nearest" });
}

// ---- deciding -----------------------------------------------------------------------------------------------------
function decide(id, decision, label = "", reason = null) {
  const before = decisions[id] || {};
  const usual = decision !== "keep" && current.kind !== "all" && current.kind !== "group" ? current.kind : "";
  decisions[id] = {
    decision, label, box: before.box || "", reason: reason ?? (before.decision === decision ? before.reason : usual),
    reviewer: "", at: new Date().toISOString().slice(0, 19) + "Z",
  };
  save();
  refresh(id);
  countSheets();
}
function act(id, name) {
  if (name === "relabel") return askLabel(id);
  if (name === "keep" && !photos.get(id).width) return showStatus("This file cannot be read, so it cannot be kept.");
  decide(id, name);
}
function clear(id) {
  delete decisions[id];
  save();
  refresh(id);
  countSheets();
}
function relabel(id, label) {
  if (!photos.get(id).width) return showStatus("This file cannot be read, so it cannot be kept.");
  if (label === photos.get(id).label) return showStatus(`It is ${label} already.`);
  decide(id, "relabel", label);
  return true;
}
function askLabel(id) {
  const place = open === id ? $("viewer-buttons") : cards.get(id)?.querySelector(".extra");
  if (!place) return;
  place.querySelector("select")?.remove();
  const select = make("select", { "aria-label": "New label", onchange: () => {
    const chosen = select.value;
    select.remove();
    relabel(id, chosen);
    if (open !== id) focusCard(id);
  } }, option("", "new label …"), ...labels.filter((label) => label !== photos.get(id).label).map((label) => option(label, label)));
  place.append(select);
  select.focus();
}
function onlyThis(id) {
  const group = shown.find((members) => members.includes(id));
  if (!group || group.length < 2) return showStatus("It is in no group here.");
  decide(id, "keep");
  for (const other of group) if (other !== id) decide(other, "drop", "", `${current.kind} of ${id}`);
  showStatus(`Kept one, dropped ${group.length - 1}.`);
}

// ---- keys ---------------------------------------------------------------------------------------------------------
function neighbour(id, step) {
  const order = [...cards.keys()];
  if (order.indexOf(id) + step >= order.length) more();
  return [...cards.keys()][order.indexOf(id) + step];
}
function vertical(id, direction) { // the card above or below whose middle is nearest
  more();
  const middle = (element) => { const box = element.getBoundingClientRect(); return [box.left + box.width / 2, box.top]; };
  const [x, y] = middle(cards.get(id));
  let best = null, least = Infinity;
  for (const [other, element] of cards) {
    const [ox, oy] = middle(element), down = (oy - y) * direction;
    const cost = down * 4 + Math.abs(ox - x);
    if (down > 8 && cost < least) [best, least] = [other, cost];
  }
  return best;
}
// What was pressed, whatever the keyboard's layout: letters and digits by their place where they are other signs there.
function pressedKey(event) {
  if (/^([0-9a-z]|Enter|Arrow\w+)$/i.test(event.key)) return event.key.length === 1 ? event.key.toLowerCase() : event.key;
  return /^(?:Digit|Numpad|Key)([0-9A-Z])$/.exec(event.code)?.[1].toLowerCase() || event.key;
}
function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const typing = event.target.matches("input, select, textarea");
  const within = event.target.closest?.(".card")?.dataset.id;
  const id = open ?? within ?? marked();
  if (typing) {
    if ((event.key === "Enter" || event.key === "Escape") && !open) {
      if (within) focusCard(within); else event.target.blur();
      event.preventDefault();
    }
    return;
  }
  if (event.key === "?") return $("help").showModal();
  if (!id) return;
  const pressed = pressedKey(event);
  const move = (to) => { if (to) (open ? view : focusCard)(to); };
  const onButton = event.target.matches("button");
  const commands = {
    k: () => { act(id, "keep"); if (decisions[id]?.decision === "keep") move(neighbour(id, 1)); },
    d: () => { act(id, "drop"); move(neighbour(id, 1)); },
    r: () => askLabel(id),
    u: () => clear(id),
    o: () => onlyThis(id),
    e: () => { if (!open) cards.get(id).querySelector(".reason")?.focus(); },
    ArrowRight: () => move(neighbour(id, 1)),
    ArrowLeft: () => move(neighbour(id, -1)),
    ArrowDown: () => { if (!open) move(vertical(id, 1)); },
    ArrowUp: () => { if (!open) move(vertical(id, -1)); },
    Enter: () => { if (!open) view(id); },
  };
  if (pressed === "Enter" && onButton) return; // it presses that button
  const label = /^[1-9]$/.test(pressed) && labels[pressed - 1];
  if (!label && !commands[pressed]) return;
  if (!open && !pressed.startsWith("Arrow") && !inView(id)) { // nothing is decided about a photo that is not seen
    focusCard(id);
    event.preventDefault();
    return showStatus("This is the marked photo: press the key again.");
  }
  if (label) { if (relabel(id, label)) move(neighbour(id, 1)); } else commands[pressed]();
  event.preventDefault();
}

// ---- the large view and the crop box ------------------------------------------------------------------------------
function view(id) {
  const photo = photos.get(id), image = $("viewer-photo");
  open = id;
  $("viewer-name").textContent = photo.path;
  $("viewer-facts").textContent = `${photo.label}, source ${photo.source}` +
    (photo.width ? `, ${photo.width} × ${photo.height} pixels` : "") + (photo.subject ? `, subject ${photo.subject}` : "");
  $("viewer-findings").replaceChildren(...photo.findings.map(([kind, evidence, other]) =>
    make("li", {}, `${titleOf(kind)}: ${evidence}${other ? ` (${other})` : ""}`)));
  $("viewer-buttons").replaceChildren(...buttons(id));
  $("overlay").setAttribute("viewBox", `0 0 ${Math.max(photo.width, 1)} ${Math.max(photo.height, 1)}`);
  $("overlay").style.display = photo.width ? "" : "none";
  $("box-fields").hidden = !photo.width;
  // The photo itself where it is available, else the thumbnail, both in the photo's shape.
  image.onerror = () => { image.onerror = null; image.src = photo.thumb || ""; };
  image.src = audit.root && photo.width ? audit.root + photo.path.split("/").map(encodeURIComponent).join("/") : photo.thumb || "";
  image.parentElement.style.setProperty("--shape", photo.width ? photo.width / photo.height : 1);
  image.alt = photo.thumb ? `${photo.label}: ${photo.path}` : photo.reason;
  if (!$("viewer").open) $("viewer").showModal();
  refresh(id);
  showBox();
}
function titleOf(kind) { return audit.kinds.find((entry) => entry.kind === kind)?.title || kind; }
function showBox() {
  const box = decisions[open]?.box, photo = photos.get(open);
  const [left, top, side] = box ? box.split(" ").map(Number) : ["", "", ""];
  $("box-left").value = left; $("box-top").value = top; $("box-side").value = side;
  $("crop").style.display = $("shade").style.display = box ? "" : "none";
  if (!box) return;
  for (const [name, value] of [["x", left], ["y", top], ["width", side], ["height", side]]) $("crop").setAttribute(name, value);
  $("shade").setAttribute("d", `M0 0H${photo.width}V${photo.height}H0ZM${left} ${top}h${side}v${side}h${-side}Z`);
}
function setBox(left, top, side) {
  const photo = photos.get(open);
  side = Math.round(Math.min(Math.max(side, 1), photo.width, photo.height));
  left = Math.round(Math.min(Math.max(left, 0), photo.width - side));
  top = Math.round(Math.min(Math.max(top, 0), photo.height - side));
  if (!decisions[open]) decide(open, "keep");
  Object.assign(decisions[open], { box: `${left} ${top} ${side}`, reviewer: "", at: new Date().toISOString().slice(0, 19) + "Z" });
  save();
  refresh(open);
  showBox();
}
function clearBox() {
  if (!decisions[open]) return;
  decisions[open].box = "";
  save();
  refresh(open);
  showBox();
}
function point(event) { // where the pointer is, in pixels of the photo
  const area = $("overlay").getBoundingClientRect(), photo = photos.get(open);
  const inside = (value, size) => Math.min(Math.max(value, 0), 1) * size;
  return [inside((event.clientX - area.left) / area.width, photo.width), inside((event.clientY - area.top) / area.height, photo.height)];
}
function startBox(event) {
  const [x, y] = point(event), photo = photos.get(open), overlay = $("overlay");
  const drag = (moved) => {
    const [mx, my] = point(moved);
    const roomX = mx < x ? x : photo.width - x, roomY = my < y ? y : photo.height - y;
    const side = Math.min(Math.max(Math.abs(mx - x), Math.abs(my - y)), roomX, roomY);
    if (side >= 4) setBox(mx < x ? x - side : x, my < y ? y - side : y, side);
  };
  const end = () => { overlay.removeEventListener("pointermove", drag); overlay.removeEventListener("pointerup", end); };
  overlay.setPointerCapture(event.pointerId);
  overlay.addEventListener("pointermove", drag);
  overlay.addEventListener("pointerup", end);
  event.preventDefault();
}
function closed() {
  const id = open;
  open = null;
  if (!cards.has(id)) while (!cards.has(id) && more());
  focusCard(id);
}

// ---- the decisions file -------------------------------------------------------------------------------------------
function toCsv() {
  const quote = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = Object.entries(decisions).sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, row]) =>
    [id, row.decision, row.label, row.box, row.reason, row.reviewer || $("reviewer").value.trim(), row.at].map(quote).join(","));
  return [COLUMNS.join(","), ...rows].join("\n") + "\n";
}
function fromCsv(text) { // rows of a CSV file (RFC 4180)
  const rows = [[""]];
  let quoted = false;
  for (let k = 0; k < text.length; k += 1) {
    const letter = text[k], row = rows.at(-1);
    if (quoted) {
      if (letter !== '"') row[row.length - 1] += letter;
      else if (text[k + 1] === '"') { row[row.length - 1] += '"'; k += 1; }
      else quoted = false;
    } else if (letter === '"') quoted = true;
    else if (letter === ",") row.push("");
    else if (letter === "\n") rows.push([""]);
    else if (letter !== "\r") row[row.length - 1] += letter;
  }
  return rows.filter((row) => row.length > 1);
}
function exportFile() {
  if (!$("reviewer").value.trim()) {
    $("reviewer").focus();
    return showStatus("Type your name first: it goes into the file.");
  }
  if (!Object.keys(decisions).length) return showStatus("Nothing is decided yet.");
  const link = make("a", { href: URL.createObjectURL(new Blob([toCsv()], { type: "text/csv" })), download: "decisions.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  showStatus(`${Object.keys(decisions).length} decisions exported.`);
}
async function importFile() {
  const file = $("file").files[0];
  $("file").value = "";
  if (!file) return;
  const [head, ...rows] = fromCsv((await file.text()).replace(/^\ufeff/, ""));
  if (!head?.includes("photo_id") || !head.includes("decision")) return showStatus(`${file.name} is no decisions file: it has no columns photo_id and decision.`);
  const read = rows.map((row) => Object.fromEntries(COLUMNS.map((name) => [name, row[head.indexOf(name)] || ""])));
  const good = read.filter((row) => photos.has(row.photo_id) && WORDS[row.decision] && (row.decision === "relabel") === Boolean(row.label));
  const other = good.filter(({ photo_id: id, decision, label, box }) => decisions[id]
    && (decisions[id].decision !== decision || decisions[id].label !== label || decisions[id].box !== box));
  if (other.length && !confirm(`${other.length} photos are decided otherwise here. Replace those by the file's decisions?`)) return;
  for (const { photo_id: id, ...row } of good) decisions[id] = row;
  save();
  choose(current.kind);
  countSheets();
  const refused = read.length - good.length;
  showStatus(`${good.length} decisions imported${refused ? `, ${refused} rows left out: not of this audit or malformed` : ""}.`);
}

// ---- start --------------------------------------------------------------------------------------------------------
load();
buildSheets();
drawSheets();
$("label").append(option("", "all"), ...labels.map((label) => option(label, label)));
const sources = [...new Set(audit.photos.map((photo) => photo.source))].sort();
$("source").append(option("", "all"), ...sources.map((source) => option(source, source)));
$("source-filter").hidden = sources.length < 2;
$("numbers").textContent = labels.slice(0, 9).map((label, k) => `${k + 1} ${label}`).join(", ");
choose(sheets[0].kind);
for (const id of ["label", "source", "state"]) $(id).addEventListener("change", filter);
$("search").addEventListener("input", filter);
$("sheet").addEventListener("change", () => choose($("sheet").value));
$("reviewer").addEventListener("change", save);
$("export").addEventListener("click", exportFile);
$("import").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", importFile);
$("keys").addEventListener("click", () => $("help").showModal());
$("help-close").addEventListener("click", () => $("help").close());
$("viewer").addEventListener("close", closed);
$("close").addEventListener("click", () => $("viewer").close());
$("previous").addEventListener("click", () => { const id = neighbour(open, -1); if (id) view(id); });
$("next").addEventListener("click", () => { const id = neighbour(open, 1); if (id) view(id); });
$("overlay").addEventListener("pointerdown", startBox);
$("box-clear").addEventListener("click", clearBox);
for (const id of ["box-left", "box-top", "box-side"]) {
  $(id).addEventListener("change", () => {
    const [left, top, side] = ["box-left", "box-top", "box-side"].map((name) => $(name).valueAsNumber);
    if (side >= 1) setBox(left || 0, top || 0, side);
  });
}
document.addEventListener("keydown", key);
window.addEventListener("scroll", near, { passive: true });
window.addEventListener("resize", near);
near();
