// Cards of items, and the dialog that shows one of them whole.
import { address, ask, el, named } from "./ask.js";

const BEGUN = 1; // seconds into a clip: the first frame is often black
const dialog = document.querySelector("#item");
let actions = {};

/** `like(id)`, `ask(id)`, `caption(id)`, `why(hit)`: what the buttons do; those that are missing have no button. `words(item)`:
 * the captioner's, for an item without any. */
export function connect(given) {
  actions = given;
  document.querySelector("#item-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => document.querySelector("#item-body").replaceChildren());
}

/** A card of something that was found: `hit` is as `/search` gives it; `best` is the highest score. */
export function card(hit, best) {
  const what = hit.caption || hit.id;
  const facts = el("p", { className: "facts" });
  if (hit.score !== undefined) {
    const bar = el("span", { className: "level", aria: { hidden: "true" } }, el("span"));
    bar.firstChild.style.width = `${Math.round(100 * Math.max(0, hit.score) / Math.max(best, 1e-6))}%`;
    facts.append(bar, el("span", { className: "score", title: "cosine of the query and this item" }, hit.score.toFixed(3)), ` by ${named(hit.field)}`);
    if (hit.start !== null && hit.start !== undefined) facts.append(` at ${time(hit.start)}`);
  }
  const title = el("p", { className: "caption" }, what);
  const more = el("button", { type: "button", className: "quiet", aria: { label: `More like ${what}` } }, "More like this");
  more.addEventListener("click", () => actions.like(hit.id, what));
  const whole = el("button", { type: "button", className: "quiet", aria: { label: `Details of ${what}` } }, "Details");
  whole.addEventListener("click", () => show(hit.id, hit));
  const made = el("li", { className: "card", data: { id: hit.id } }, media(hit, what), el("div", { className: "below" }, title, facts, el("div", { className: "doing" }, more, whole, because(hit, what))));
  if (hit.alike?.length) made.querySelector(".doing").append(others(hit, what, made));
  return made;
}

/** A button that shows why something was found, where the model can say so. */
function because(hit, what) {
  const told = hit.score === undefined ? undefined : actions.why?.(hit);
  if (!told) return null;
  const button = el("button", { type: "button", className: "quiet", aria: { label: `Why ${what}?` } }, "Why?");
  button.addEventListener("click", async () => {
    button.disabled = true;
    const parts = await actions.attempt(told);
    button.disabled = false;
    button.focus(); // where the dialog gives it back to
    if (parts) fill(`Why “${what}”?`, parts);
  });
  return button;
}

function fill(title, parts) {
  document.querySelector("#item-title").textContent = title;
  document.querySelector("#item-body").replaceChildren(...parts);
  if (!dialog.open) dialog.showModal();
}

/** A button that shows what is nearly the same as an item after it, and hides it again. */
function others(hit, what, made) {
  const text = `+ ${hit.alike.length} alike`;
  const button = el("button", { type: "button", className: "quiet", aria: { label: `${hit.alike.length} nearly the same as ${what}`, expanded: false } }, text);
  let shown = [];
  button.addEventListener("click", async () => {
    const open = !shown.length;
    button.disabled = true;
    const items = open ? await actions.attempt(() => Promise.all(hit.alike.map((id) => ask(address(id))))) : [];
    button.disabled = false;
    if (!items) return;
    shown.forEach((one) => one.remove());
    shown = items.map((item) => card({ ...item, caption: item.captions[0] ?? "", start: null }, 1));
    shown.forEach((one) => one.classList.add("also"));
    made.after(...shown);
    button.setAttribute("aria-expanded", open);
    button.textContent = open ? "Hide those alike" : text;
    button.focus();
  });
  return button;
}

function media(hit, what) {
  const box = el("div", { className: "media" });
  if (hit.files.video) box.append(preview(hit, what));
  else if (hit.files.image) {
    const open = el("button", { type: "button", className: "picture", aria: { label: `Details of ${what}` } }, picture(hit.id, what));
    open.addEventListener("click", () => show(hit.id, hit));
    box.append(open);
  } else if (!hit.files.audio) box.append(el("p", { className: "words", aria: { hidden: "true" } }, what));
  else box.append(el("div", { className: "wave", aria: { hidden: "true" } }, ..."▂▄▇▅▃▅▆▃▂".split("").map((bar) => el("span", {}, bar))));
  if (hit.files.audio) box.append(el("audio", { controls: true, preload: "none", src: address(hit.id, "/file/audio") + part(hit, "audio"), aria: { label: `Sound of ${what}` } }));
  return box;
}

function picture(id, what) {
  const image = el("img", { src: address(id, "/thumbnail"), alt: what, loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(el("span", { className: "words" }, what)), { once: true });
  return image;
}

function clip(hit, what) {
  const video = el("video", { controls: true, preload: "none", poster: moment(hit), playsInline: true, muted: true, loop: hit.start === null, src: address(hit.id, "/file/video") + part(hit, "video"), aria: { label: `Clip: ${what}` } });
  video.addEventListener("error", () => video.replaceWith(hit.files.image ? picture(hit.id, what) : el("p", { className: "words" }, "This browser cannot play the clip.")), { once: true });
  return video;
}

/** A clip in a card: all of it can be seen, and one button plays it from where it was found. */
function preview(hit, what) {
  const video = clip(hit, what);
  const play = el("button", { type: "button", className: "play", aria: { label: `Play the clip: ${what}` } }, "▶");
  video.controls = false;
  video.tabIndex = -1;
  play.addEventListener("click", () => (video.paused ? video.play().catch(() => {}) : video.pause()));
  for (const event of ["play", "pause"]) {
    video.addEventListener(event, () => {
      play.textContent = video.paused ? "▶" : "❚❚";
      play.setAttribute("aria-label", `${video.paused ? "Play" : "Pause"} the clip: ${what}`);
    });
  }
  video.addEventListener("error", () => play.remove(), { once: true });
  video.addEventListener("click", () => show(hit.id, hit));
  return el("div", { className: "clip" }, video, play);
}

/** The frame at which a clip was found; one from its beginning where it was found as a whole. */
function moment(hit) {
  const found = ["video", "audio"].includes(hit.field) && hit.start !== null && hit.start !== undefined;
  return `${address(hit.id, "/thumbnail")}?at=${found ? hit.start : BEGUN}`;
}

/** The part of a clip or sound that was found, as a fragment of its address: it starts there. */
function part(hit, kind) {
  const found = hit.field === kind || hit.kind === kind;
  if (!found || hit.start === null || hit.start === undefined) return kind === "video" ? "#t=0.001" : "";
  return `#t=${hit.start}${hit.end ? `,${hit.end}` : ""}`;
}

/** The dialog with all that is known of an item. */
export async function show(id, hit = {}) {
  const item = await actions.attempt(() => ask(address(id)));
  if (!item) return;
  const what = item.captions[0] || id;
  const body = el("div");
  if (item.files.video) body.append(clip({ ...hit, ...item }, what));
  if (item.files.image) {
    const image = el("img", { src: address(id, "/file/image"), alt: what, className: "large" });
    image.addEventListener("error", () => { image.src = address(id, "/thumbnail"); }, { once: true });
    body.append(image);
  }
  if (item.files.audio) body.append(el("audio", { controls: true, src: address(id, "/file/audio") + part(hit, "audio"), aria: { label: `Sound of ${what}` } }));
  const facts = el("dl");
  const fact = (name, value) => facts.append(el("dt", {}, name), el("dd", {}, value));
  fact("name", id);
  item.captions.slice(1, 9).forEach((caption) => fact("also", caption));
  if (hit.score !== undefined) fact("found", `by ${named(hit.field)}, score ${hit.score.toFixed(4)}`);
  Object.entries(item.files).forEach(([kind, file]) => facts.append(el("dt", {}, named(kind)), el("dd", {}, el("a", { href: address(id, `/file/${kind}`), target: "_blank", rel: "noopener" }, file))));
  Object.entries(item.metadata).forEach(([name, value]) => fact(name, typeof value === "string" ? value : JSON.stringify(value)));
  const doing = el("div", { className: "row" });
  const button = (text, what, main) => {
    const made = el("button", { type: "button", className: main ? "primary" : "" }, text);
    made.addEventListener("click", () => { dialog.close(); what(id, item.captions[0] || id); });
    doing.append(made);
  };
  button("More like this", actions.like, true);
  if (actions.caption) button("Caption it", actions.caption);
  if (actions.ask) button("Ask about it", actions.ask);
  if (actions.generate) button("Make of it", actions.generate);
  body.append(facts, doing);
  fill(what, [...body.childNodes]);
  const words = item.captions[0] ? undefined : await actions.words?.(item).catch(() => undefined); // it is an extra
  if (!words) return;
  fact("in words", words);
  facts.parentElement?.querySelectorAll("img").forEach((image) => { image.alt = words; });
}

function time(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
