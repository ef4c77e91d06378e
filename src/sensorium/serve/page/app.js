// The page: what is looked for, what is found, and which tabs there are.
import { address, ask, calm, complain, el, guessed, kindOf, named } from "./ask.js";
import { card, connect } from "./gallery.js";
import { chart } from "./map.js";
import { record } from "./sound.js";
import { tell } from "./tell.js";
import { why } from "./why.js";

const $ = (selector) => document.querySelector(selector);
const START = 12; // items that are shown before anything was asked
const PAUSE = 350; // ms without a key after which is looked for what stands there

let about = { senses: [], fields: [], can: {}, why: [], makes: [], most_bytes: 0, items: 0, filters: [] };
let parts = []; // files and items that belong to the query
let asking = null; // of the request that is on its way
let query = null; // by which what is shown was found
let timer = 0;
let wander = null;
const told = new Map(); // what the captioner said of items, by their ids

/** Does something and says what went wrong with it; undefined then. */
async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    complain(error);
    return undefined;
  }
}

const kinds = () => about.senses.map((sense) => sense.kind);

async function begin() {
  about = (await attempt(() => ask("/about"))) ?? about;
  const held = about.fields.map(named).join(", ");
  $("#what").textContent = `${about.items.toLocaleString()} items${held ? ` · ${held}` : ""}`;
  const files = kinds().filter((kind) => kind !== "text");
  $("#text").disabled = !kinds().includes("text");
  $("#add-text").textContent = files.length ? `Add ${files.map(named).join(", ").replace(/, ([^,]*)$/, " or $1")}` : "";
  $("#add").hidden = !files.length;
  $("#record").hidden = !files.includes("audio") || !navigator.mediaDevices?.getUserMedia || !window.MediaRecorder;
  $("#words-label").hidden = !kinds().includes("text");
  $("#where-label").hidden = !about.filters.length;
  $("#where").title = `Known: ${about.filters.join(", ")}`;
  $("#within").replaceChildren(...about.fields.map((name) => el("label", {}, el("input", { type: "checkbox", value: name }), named(name))));
  for (const verb of ["caption", "ask"]) $(`#tab-${verb}`).hidden = !about.can[verb];
  $("#tab-generate").hidden = !about.makes.length;
  const forms = tell(about, attempt);
  const to = (verb) => (id, what) => { choose(verb); forms[verb](id, what); };
  connect({
    attempt, like, why: reason, words: about.can.caption && words,
    caption: about.can.caption && to("caption"),
    ask: about.can.ask && to("ask"),
    generate: about.makes.some((one) => one.reads.some((kind) => kind !== "text")) && to("generate"),
  });
  const asked = new URLSearchParams(location.hash.slice(1)).get("q");
  if (asked) { $("#text").value = asked; await search(); } else await greet();
}

/** A few items, so that there is something to see and to start from. */
async function greet() {
  asking?.abort();
  const mine = asking = new AbortController();
  $("#results").removeAttribute("aria-busy");
  if (!about.fields.length) return;
  const all = await attempt(() => ask("/map"));
  if (!all?.ids.length) return;
  const ids = Array.from({ length: Math.min(START, all.ids.length) }, (_, i) => all.ids[Math.floor(i * all.ids.length / Math.min(START, all.ids.length))]);
  const items = await attempt(() => Promise.all(ids.map((id) => ask(address(id)))));
  if (!items || asking !== mine || parts.length || $("#text").value) return;
  $("#results").replaceChildren();
  list(items, mine.signal);
  $("#status").textContent = `A few of the ${about.items.toLocaleString()} items, to begin with`;
  offer("Show all items", "");
}

/** Puts cards of items that nothing was compared with after those that there are: the first of the new ones. */
function list(items, signal) {
  const shown = items.map((item) => ({ ...item, caption: item.captions[0] ?? "", start: null }));
  const made = shown.map((item) => card(item, 1));
  $("#results").append(...made);
  if (about.can.caption) describe(shown, signal);
  return made[0];
}

/** A button after the results that goes on with all items after the id `after`; none where that is null. */
function offer(text, after) {
  $("#more").hidden = after === null;
  $("#more").textContent = text;
  $("#more").onclick = async () => { calm(); (await browse(after))?.querySelector("button, audio")?.focus(); };
}

/** All items, or those of which the filter holds, page by page in the order of their ids: the first card of the page. */
async function browse(after) {
  asking?.abort();
  const mine = asking = new AbortController();
  const where = $("#where").value.trim();
  $("#results").setAttribute("aria-busy", "true");
  const page = await attempt(() => ask(`/items?${new URLSearchParams({ after, where, k: $("#k").value })}`, undefined, mine.signal));
  if (asking !== mine) return undefined;
  $("#results").removeAttribute("aria-busy");
  if (!page) return undefined;
  if (!after) $("#results").replaceChildren();
  const first = list(page.items, mine.signal);
  const shown = $("#results").children.length.toLocaleString();
  const which = where ? `items where ${where}` : `of ${page.of.toLocaleString()} items`;
  $("#status").textContent = `${page.next === null ? "All" : "The first"} ${shown} ${which}, in the order of their names`;
  offer("More", page.next);
  return first;
}

async function search() {
  clearTimeout(timer);
  const text = $("#text").value.trim();
  history.replaceState(null, "", text ? `#${new URLSearchParams({ q: text })}` : location.pathname);
  offer("", null);
  if (!text && !parts.length) return $("#where").value.trim() ? browse("") : greet();
  asking?.abort();
  const mine = asking = new AbortController();
  $("#results").setAttribute("aria-busy", "true");
  const sent = body(text);
  const found = await attempt(() => ask("/search", sent, mine.signal));
  if (asking !== mine) return; // another one has been asked since
  $("#results").removeAttribute("aria-busy");
  if (!found) { $("#status").textContent = ""; return; }
  const best = Math.max(...found.hits.map((hit) => hit.score), 0);
  query = sent;
  $("#results").replaceChildren(...found.hits.map((hit) => card(hit, best)));
  const also = text && $("#words").checked ? " and by the very words" : "";
  const of = `of ${found.of.toLocaleString()} items, compared with their ${found.within.map(named).join(", ")}${also}`;
  $("#status").textContent = [found.hits.length ? `The ${found.hits.length} nearest ${of}` : `Nothing was found ${of}`, guessed(found.unknown)].filter(Boolean).join(". ");
  wander?.mark(found.hits.map((hit) => hit.id));
  if (about.can.caption) describe(found.hits, mine.signal);
}

/** What tells why something was found; undefined where the model does not know. */
function reason(hit) {
  const [mine, names] = [query, about.why];
  const reads = (kind) => about.senses.some((sense) => sense.kind === kind && names.includes(sense.name));
  const text = $("#text").value.trim() || $("#without").value.trim();
  if (!names.includes(hit.field) || (text && !reads("text")) || parts.some((part) => part.file && !reads(part.kind))) return undefined;
  return () => why(mine, hit.id);
}

/** What a request has: a form where there are files. */
function body(text) {
  const chosen = [...$("#within").querySelectorAll("input:checked")].map((box) => box.value);
  const like = parts.filter((part) => part.id).map((part) => part.id);
  const query = { text, without: $("#without").value.trim(), k: Number($("#k").value), like };
  if (chosen.length) query.within = chosen;
  if (text && $("#words").checked) query.words = true;
  if ($("#group").checked) query.group = true;
  if ($("#where").value.trim()) query.where = $("#where").value.trim();
  const files = parts.filter((part) => part.file);
  if (!files.length) return query;
  const form = new FormData();
  for (const [name, value] of Object.entries(query)) for (const one of [value].flat()) if (one !== "") form.append(name, one);
  for (const part of files) form.append(part.kind, part.file, part.file.name);
  return form;
}

const captioned = (item) => about.can.caption.some((kind) => item.files[kind]);

/** What the captioner says of an item, which is asked once; undefined where it reads none of its files. */
async function words(item, signal) {
  if (captioned(item) && !told.has(item.id)) told.set(item.id, (await ask("/caption", { id: item.id }, signal)).texts[0].text);
  return told.get(item.id);
}

/** The first pictures without words are told in the words of the captioner, for those who cannot see them. */
async function describe(hits, signal) {
  for (const hit of hits.filter((one) => !one.caption && captioned(one)).slice(0, START)) {
    try {
      const text = await words(hit, signal);
      const shown = document.querySelector(`.card[data-id="${CSS.escape(hit.id)}"]`);
      shown?.querySelectorAll("img").forEach((image) => { image.alt = text; });
      shown?.querySelector(".caption")?.replaceChildren(el("em", {}, text));
    } catch { return; } // it is an extra: the results stand without it
  }
}

function add(files) {
  calm();
  const before = parts.length;
  for (const file of files) {
    const kind = kindOf(file);
    if (!kinds().includes(kind)) complain(new Error(`${file.name}: this collection is searched by ${kinds().map(named).join(", ")}.`));
    else if (file.size > about.most_bytes) complain(new Error(`${file.name}: more than ${Math.round(about.most_bytes / 2 ** 20)} MB.`));
    else parts.push({ file, kind, name: file.name, url: URL.createObjectURL(file) });
  }
  if (parts.length > before) changed();
}

function like(id, what) {
  calm();
  choose("search");
  $("#text").value = "";
  drop(() => true);
  parts.push({ id, kind: "item", name: `like ${what}` });
  changed();
  scrollTo({ top: 0, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  $("#text").focus({ preventScroll: true });
}

function drop(which) {
  parts.filter(which).forEach((part) => part.url && URL.revokeObjectURL(part.url));
  parts = parts.filter((part) => !which(part));
}

function changed() {
  $("#parts").replaceChildren(...parts.map(chip));
  return search();
}

function chip(part) {
  const away = el("button", { type: "button", className: "plain", aria: { label: `Remove ${part.name}` } }, "×");
  away.addEventListener("click", () => { calm(); drop((one) => one === part); changed(); $("#text").focus(); });
  const shown = part.id ? el("img", { src: address(part.id, "/thumbnail"), alt: "" }) : part.kind === "image" ? el("img", { src: part.url, alt: "" }) : null;
  shown?.addEventListener("error", () => shown.remove(), { once: true });
  const played = part.kind === "audio" ? el("audio", { controls: true, src: part.url, aria: { label: part.name } }) : null;
  return el("li", { className: "chip" }, shown, el("span", {}, part.name), played, away);
}

function choose(name) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const here = tab.getAttribute("aria-controls") === name;
    tab.setAttribute("aria-selected", here);
    tab.tabIndex = here ? 0 : -1;
    $(`#${tab.getAttribute("aria-controls")}`).hidden = !here;
  }
  if (name === "map") {
    wander ??= chart(about, attempt, like);
    wander.mark([...document.querySelectorAll(".card")].map((one) => one.dataset.id));
    wander.open();
  }
}

$("#tabs").addEventListener("click", (event) => event.target.matches("[role=tab]") && choose(event.target.getAttribute("aria-controls")));
$("#tabs").addEventListener("keydown", (event) => {
  const tabs = [...document.querySelectorAll("[role=tab]:not([hidden])")];
  const at = tabs.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const tab = tabs[(to + tabs.length) % tabs.length];
  choose(tab.getAttribute("aria-controls"));
  tab.focus();
});

$("#query").addEventListener("submit", (event) => { event.preventDefault(); calm(); search(); });
$("#text").addEventListener("input", () => { calm(); clearTimeout(timer); timer = setTimeout(search, PAUSE); });
$("#filters").addEventListener("change", (event) => { calm(); if ($("#text").value.trim() || parts.length || event.target.id === "where") search(); });
$("#options").addEventListener("click", () => {
  const open = $("#filters").hidden;
  $("#filters").hidden = !open;
  $("#options").setAttribute("aria-expanded", open);
});
$("#add").addEventListener("click", () => $("#file").click());
$("#file").addEventListener("change", (event) => { add(event.target.files); event.target.value = ""; });
$("#error button").addEventListener("click", calm);

let recording = null;
async function turn() {
  calm();
  const button = $("#record");
  const said = button.querySelector("span");
  if (recording) {
    const mine = recording;
    recording = null;
    button.setAttribute("aria-pressed", "false");
    said.textContent = "Record";
    const file = await attempt(() => mine.stop());
    if (file) add([file]);
    return;
  }
  recording = await attempt(async () => {
    try {
      return await record((seconds) => { said.textContent = `Stop (${Math.floor(seconds)} s)`; }, turn);
    } catch (error) {
      throw new Error(error.name === "NotAllowedError" ? "The browser was not allowed to use the microphone." : `There is no microphone to record with (${error.name}).`);
    }
  });
  if (recording) { button.setAttribute("aria-pressed", "true"); said.textContent = "Stop"; }
}
$("#record").addEventListener("click", turn);

let depth = 0; // dragging goes in and out of each element on the way
const carries = (event) => event.dataTransfer?.types.includes("Files");
const searching = () => !$("#search").hidden || !$("#map").hidden;
addEventListener("dragenter", (event) => { if (carries(event) && searching()) { depth++; $("#drop").hidden = false; } });
addEventListener("dragleave", (event) => { if (carries(event) && searching() && --depth <= 0) { depth = 0; $("#drop").hidden = true; } });
addEventListener("dragover", (event) => carries(event) && event.preventDefault());
addEventListener("drop", (event) => {
  if (!carries(event)) return;
  event.preventDefault();
  depth = 0;
  $("#drop").hidden = true;
  if (searching()) { choose("search"); add(event.dataTransfer.files); }
});
addEventListener("paste", (event) => { if (event.clipboardData?.files.length && searching()) { choose("search"); add(event.clipboardData.files); } });

begin();
