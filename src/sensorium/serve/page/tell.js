// The tabs in which the models tell, answer and make.
import { address, ask, calm, complain, el, guessed, kindOf, named } from "./ask.js";

/** Connects the forms; gives for each verb a function that takes the item that is meant. */
export function tell(about, attempt) {
  const reads = (verb) => verb === "generate" ? [...new Set(about.makes.flatMap((one) => one.reads))] : about.can[verb] ?? [];
  const out = {};
  for (const verb of ["caption", "ask", "generate"]) {
    const form = document.querySelector(`#${verb}-form`);
    const chosen = subject(form.querySelector(".subject"), reads(verb).filter((kind) => kind !== "text"), about.most_bytes);
    out[verb] = (id, what) => chosen.item(id, what);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      calm();
      const button = form.querySelector("button.primary");
      const told = form.querySelector(".told");
      told.replaceChildren(el("p", { className: "working" }, "Working …"));
      button.disabled = true;
      const answer = await attempt(() => ask(`/${verb}`, body(form, verb, chosen.value())));
      button.disabled = false;
      const guess = guessed(answer?.unknown ?? []);
      told.replaceChildren(...(answer ? shown(verb, answer) : []), ...(guess ? [el("p", { className: "hint" }, guess)] : []));
    });
  }
  const to = document.querySelector("#generate-form [name=to]");
  to.replaceChildren(...about.makes.map((one) => el("option", { value: one.name }, named(one.kind))));
  return out;
}

function body(form, verb, thing) {
  const values = {};
  for (const input of form.querySelectorAll("input[name], select[name]")) {
    if (input.value !== "") values[input.name] = ["n", "seed", "temperature"].includes(input.name) ? Number(input.value) : input.value;
  }
  if (verb !== "generate" && !thing.id && !thing.file) throw new Error("First choose a file, or an item of the collection by its details.");
  if (thing.id) values.id = thing.id;
  if (!thing.file) return values;
  const data = new FormData();
  for (const [name, value] of Object.entries(values)) data.append(name, value);
  data.append(thing.kind, thing.file, thing.file.name);
  return data;
}

/** A place to choose a file, or an item, to tell of. */
function subject(box, kinds, most) {
  let thing = {};
  const input = el("input", { type: "file", hidden: true });
  const names = kinds.map(named).join(" or ");
  const button = el("button", { type: "button" }, `Choose a ${names}`);
  const view = el("div", { className: "view" });
  const show = () => {
    const what = thing.kind === "image" || thing.id ? el("img", { alt: thing.name, src: thing.id ? address(thing.id, "/thumbnail") : thing.url }) : thing.kind === "audio" ? el("audio", { controls: true, src: thing.url, aria: { label: thing.name } }) : thing.kind === "video" ? el("video", { controls: true, muted: true, src: thing.url, aria: { label: thing.name } }) : null;
    what?.addEventListener("error", () => what.remove(), { once: true });
    view.replaceChildren(...(thing.name ? [what, el("p", {}, thing.name)].filter(Boolean) : []));
  };
  const take = (file) => {
    calm();
    const kind = kindOf(file);
    if (!kinds.includes(kind)) return complain(new Error(`${file.name}: expected a ${names}.`));
    if (file.size > most) return complain(new Error(`${file.name}: more than ${Math.round(most / 2 ** 20)} MB.`));
    thing = { file, kind, name: file.name, url: URL.createObjectURL(file) };
    show();
  };
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => { if (input.files[0]) take(input.files[0]); input.value = ""; });
  box.addEventListener("drop", (event) => { event.preventDefault(); if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]); });
  if (kinds.length) box.replaceChildren(view, button, input);
  return { value: () => thing, item(id, what) { thing = { id, name: what }; show(); } };
}

function shown(verb, answer) {
  const sure = (score) => verb === "ask" ? `probability ${Math.exp(score).toFixed(2)}` : `log-probability ${score.toFixed(2)}`;
  if (verb !== "generate") return answer.texts.map((one) => el("blockquote", {}, el("p", {}, one.text), el("footer", {}, sure(one.score))));
  if (answer.kind === "text") return answer.texts.map((text) => el("blockquote", {}, el("p", {}, text)));
  const files = answer.files.map((file, i) => {
    const source = URL.createObjectURL(new Blob([Uint8Array.from(atob(file), (c) => c.charCodeAt(0))], { type: answer.media }));
    const name = `${answer.kind}-${answer.note.seed}-${i + 1}.${answer.media.split("/")[1].replace("mpeg", "mp3")}`;
    const view = answer.media.startsWith("image/") ? el("img", { src: source, alt: answer.plans[i] || `${answer.note.prompt ?? "made"}, number ${i + 1}` }) : answer.media.startsWith("audio/") ? el("audio", { controls: true, src: source, aria: { label: `Sound number ${i + 1}` } }) : el("p", {}, name);
    const plan = answer.plans[i] ? el("span", {}, answer.plans[i]) : null;
    return el("figure", {}, view, el("figcaption", {}, plan, el("a", { href: source, download: name }, "Keep")));
  });
  return [el("div", { className: "made" }, ...files)];
}
