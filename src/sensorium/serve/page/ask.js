// Asking the server, and making elements.

/** The JSON of an answer; an Error with a sentence for a person where there is none. `body`: a form, or what goes as JSON. */
export async function ask(path, body, signal) {
  const how = { signal, headers: { accept: "application/json" } };
  if (body instanceof FormData) Object.assign(how, { method: "POST", body });
  else if (body) {
    Object.assign(how, { method: "POST", body: JSON.stringify(body) });
    how.headers["content-type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(path, how);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  let told;
  try {
    told = await answer.json();
  } catch {
    throw new Error(`The server answered with something that is no JSON (status ${answer.status}).`);
  }
  if (!answer.ok) {
    const text = String(told.error ?? `status ${answer.status}`);
    throw new Error(text[0].toUpperCase() + text.slice(1) + (/[.!?^]$/.test(text) ? "" : "."));
  }
  return told;
}

/** An element with properties (and `aria` and `data` as objects) and what is in it. */
export function el(name, { aria = {}, data = {}, ...properties } = {}, ...inside) {
  const made = Object.assign(document.createElement(name), properties);
  for (const [key, value] of Object.entries(aria)) made.setAttribute(`aria-${key}`, value);
  Object.assign(made.dataset, data);
  made.append(...inside.filter((one) => one !== null && one !== undefined));
  return made;
}

export const address = (id, rest = "") => `/items/${id.split("/").map(encodeURIComponent).join("/")}${rest}`;

/** Says what went wrong, to everybody: in a box on the page that a screen reader reads at once. */
export function complain(error) {
  if (error?.name === "AbortError") return;
  const box = document.querySelector("#error");
  box.hidden = false;
  box.querySelector("p").textContent = error?.message ?? String(error);
}

export function calm() {
  document.querySelector("#error").hidden = true;
}

/** "image", "audio", "video" or "sensor", by a file's type and name; "" for others. */
export function kindOf(file) {
  const main = file.type.split("/")[0];
  if (file.type === "image/gif" || ["image", "audio", "video"].includes(main)) return main;
  const end = file.name.toLowerCase().split(".").pop();
  const ends = { image: "jpg jpeg png webp gif bmp tif tiff", audio: "wav flac ogg oga opus mp3 m4a aac", video: "mp4 webm mov avi mkv m4v", sensor: "csv tsv parquet npy npz" };
  return Object.keys(ends).find((kind) => ends[kind].split(" ").includes(end)) ?? "";
}

/** A sentence about the words that the model never learned; "" where it knows them all. */
export const guessed = (words) => words.length ? `The model never learned ${words.map((word) => `“${word}”`).join(", ")}: it only guesses.` : "";

export const NAMES = { image: "picture", audio: "sound", video: "clip", text: "words", sensor: "trace" };
export const named = (kind) => NAMES[kind] ?? kind;
