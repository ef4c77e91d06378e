// The description of the API, made readable from /openapi.json.
import { ask, el } from "./ask.js";

const api = await ask("/openapi.json");
const at = location.origin;
document.querySelector("#told").prepend(`${api.info.description.replaceAll("`", "")} `);

for (const [path, verbs] of Object.entries(api.paths)) {
  for (const [verb, what] of Object.entries(verbs)) {
    const section = el("section", { className: "address" });
    section.append(el("h2", {}, el("span", { className: "verb" }, verb.toUpperCase()), ` ${path}`));
    for (const text of what.description.split("\n\n")) section.append(el("p", {}, text.replaceAll("`", "")));
    const bodies = what.requestBody?.content ?? {};
    const form = bodies["multipart/form-data"]?.schema ?? bodies["application/json"]?.schema;
    const rows = Object.entries(form?.properties ?? {}).map(([name, one]) => [name, type(one), one.default]);
    for (const one of what.parameters ?? []) rows.push([one.name, type(one.schema), one.schema.default]);
    if (rows.length) section.append(table(rows));
    section.append(el("pre", {}, el("code", {}, example(path, verb, bodies))));
    document.querySelector("#list").append(section);
  }
}

function type(one) {
  if (one.anyOf) return one.anyOf.map(type).filter((name) => name !== "null").join(" or ");
  if (one.format === "binary") return "a file";
  return one.type === "array" ? `list of ${one.items?.type ?? "things"}` : one.type;
}

function table(rows) {
  const body = el("tbody");
  for (const [name, kind, usual] of rows) {
    const told = usual === undefined || usual === null || usual === "" ? "" : JSON.stringify(usual);
    body.append(el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, kind), el("td", {}, told)));
  }
  const heads = ["name", "type", "by default"].map((text) => el("th", { scope: "col" }, text));
  return el("table", {}, el("thead", {}, el("tr", {}, ...heads)), body);
}

function example(path, verb, bodies) {
  if (verb === "get") return `curl ${at}${path.replace("{id}", "ID").replace("{kind}", "image")}`;
  const json = { "/search": '{"text": "a red bicycle", "k": 5}', "/why": '{"text": "a red bicycle", "id": "ID"}', "/embed": '{"text": ["a red bicycle"]}', "/generate": '{"text": "a red circle"}' };
  const lines = [];
  if (json[path]) lines.push(`curl ${at}${path} -H 'Content-Type: application/json' -d '${json[path]}'`);
  if (bodies["multipart/form-data"] && path !== "/generate") {
    lines.push(`curl ${at}${path} -F image=@photo.jpg${{ "/ask": " -F question='what is it?'", "/why": " -F id=ID" }[path] ?? ""}`);
  }
  return lines.join("\n");
}
