// Why something was found: a picture of what in it is like what was looked for, and the same in words.
import { ask, el, named } from "./ask.js";

const SMALLEST = 0.55; // of its size, at which a picture is shown on a narrow screen

/** What is asked of `/why`: `query` is as it went to `/search`, JSON or a form. */
function of(query, id) {
  if (!(query instanceof FormData)) return { ...query, id };
  const form = new FormData();
  for (const [name, value] of query) form.append(name, value);
  form.set("id", id);
  return form;
}

/** The elements that tell why an item was found. */
export async function why(query, id) {
  const told = await ask("/why", of(query, id));
  const many = told.parts.length > 1;
  return told.parts.map((part) => {
    const text = part.marks.length ? el("p", { className: "marks" }, ...part.marks.map(marked)) : null;
    const title = many ? el("h3", {}, `${part.weight < 0 ? "What was to be left out" : "What was looked for"}: ${named(part.field)}`) : null;
    const asked = (one) => (part.field === one.asked && part.field !== "text" ? `the ${named(one.asked)}` : one.asked);
    const rows = part.nearest.map((one) => el("li", {}, el("b", {}, asked(one)), ` is like ${one.like}, `, el("span", { className: "score" }, one.cosine.toFixed(2))));
    const caption = el("figcaption", {}, el("ul", {}, ...rows), el("p", { className: "hint" }, `On the whole ${part.score.toFixed(3)}: the mean cosine of each part of what was looked for and the nearest of what was found.`));
    return el("figure", { className: "why" }, title, text, picture(part), caption);
  });
}

function picture(part) {
  if (!part.picture) return null;
  const source = URL.createObjectURL(new Blob([Uint8Array.from(atob(part.picture), (c) => c.charCodeAt(0))], { type: "image/png" }));
  const image = el("img", { src: source, alt: part.alt });
  image.addEventListener("load", () => {
    URL.revokeObjectURL(source);
    image.style.maxWidth = `max(100%, ${Math.round(SMALLEST * image.naturalWidth)}px)`; // then it is scrolled
  }, { once: true });
  return el("div", { className: "wide-picture", tabIndex: 0, role: "group", aria: { label: "What is like what was looked for" } }, image);
}

function marked(mark) {
  const made = el("span", { title: mark.weight.toFixed(2) }, mark.text);
  made.style.background = `color-mix(in srgb, var(--accent) ${Math.round(55 * mark.weight)}%, transparent)`;
  return made;
}
