// A map to wander in: items by their places, near ones as pictures.
import { address, ask, el, named } from "./ask.js";

const PICTURES = 160; // as many items in view are drawn as pictures
const SIDE = 44; // pixels of a picture
const REACH = 22; // pixels within which a pointer means an item

export function chart(about, attempt, like) {
  const canvas = document.querySelector("#canvas");
  const pen = canvas.getContext("2d");
  const field = document.querySelector("#map-field");
  const status = document.querySelector("#map-status");
  const aside = document.querySelector("#map-item");
  const pictures = new Map();
  let places = { ids: [], x: [], y: [] };
  let view = { x: 0, y: 0, scale: 1 };
  let chosen = -1;
  let found = new Set();
  let asked = false;

  const width = () => canvas.clientWidth;
  const height = () => canvas.clientHeight;
  const unit = () => view.scale * Math.min(width() - SIDE, height() - SIDE) * 0.48;
  const across = (i) => width() / 2 + (places.x[i] - view.x) * unit();
  const down = (i) => height() / 2 - (places.y[i] - view.y) * unit();
  const inside = (i) => across(i) > -SIDE && across(i) < width() + SIDE && down(i) > -SIDE && down(i) < height() + SIDE;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  let due = 0;
  const draw = () => { due ||= requestAnimationFrame(() => { due = 0; paint(); }); };

  function paint() {
    const ratio = devicePixelRatio || 1;
    if (!width()) return;
    if (canvas.width !== Math.round(width() * ratio) || canvas.height !== Math.round(height() * ratio)) {
      canvas.width = Math.round(width() * ratio);
      canvas.height = Math.round(height() * ratio);
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width(), height());
    const seen = places.ids.map((_, i) => i).filter(inside);
    const near = seen.length <= PICTURES;
    for (const i of seen) if (i !== chosen) mark(i, near);
    if (chosen >= 0) mark(chosen, true);
  }

  function mark(i, near) {
    const [x, y] = [across(i), down(i)];
    const picture = near ? thumbnail(places.ids[i]) : null;
    const hit = found.has(places.ids[i]);
    pen.globalAlpha = found.size && !hit && i !== chosen ? 0.55 : 1;
    if (picture) {
      const side = i === chosen ? SIDE * 1.5 : SIDE;
      const shape = side / Math.max(picture.naturalWidth, picture.naturalHeight);
      const [w, h] = [picture.naturalWidth * shape, picture.naturalHeight * shape];
      pen.drawImage(picture, x - w / 2, y - h / 2, w, h);
      if (hit || i === chosen) {
        pen.lineWidth = i === chosen ? 3 : 2;
        pen.strokeStyle = colour(i === chosen ? "--ink" : "--accent");
        pen.strokeRect(x - w / 2, y - h / 2, w, h);
      }
    } else {
      pen.beginPath();
      pen.arc(x, y, i === chosen ? 9 : hit ? 6 : 4, 0, 2 * Math.PI);
      pen.fillStyle = colour(i === chosen ? "--ink" : hit ? "--accent" : "--dot");
      pen.fill();
    }
    pen.globalAlpha = 1;
  }

  /** The picture of an item once it is there; null before, and where there is none. */
  function thumbnail(id) {
    if (!pictures.has(id)) {
      const image = new Image();
      pictures.set(id, null);
      image.addEventListener("load", () => { pictures.set(id, image); draw(); });
      image.src = address(id, "/thumbnail");
    }
    return pictures.get(id);
  }

  function nearest(x, y) {
    let best = -1, least = REACH ** 2;
    places.ids.forEach((_, i) => {
      const far = (across(i) - x) ** 2 + (down(i) - y) ** 2;
      if (far < least) [best, least] = [i, far];
    });
    return best;
  }

  async function choose(i) {
    if (i < 0 || i === chosen) return;
    chosen = i;
    draw();
    const id = places.ids[i];
    const item = await attempt(() => ask(address(id)));
    if (!item || places.ids[chosen] !== id) return;
    const what = item.captions[0] ?? id;
    const image = el("img", { src: address(id, "/thumbnail"), alt: what });
    image.addEventListener("error", () => image.remove(), { once: true });
    const more = el("button", { type: "button", className: "primary" }, "More like this");
    more.addEventListener("click", () => like(id, what));
    const sound = item.files.audio ? el("audio", { controls: true, preload: "none", src: address(id, "/file/audio"), aria: { label: `Sound of ${what}` } }) : null;
    aside.replaceChildren(...[image, el("p", {}, what), sound, more].filter(Boolean));
  }

  /** From the chosen item to the nearest one in a direction; the view follows. */
  function step(dx, dy) {
    const from = chosen < 0 ? [view.x, view.y] : [places.x[chosen], places.y[chosen]];
    let best = -1, least = Infinity;
    places.ids.forEach((_, i) => {
      const [x, y] = [places.x[i] - from[0], places.y[i] - from[1]];
      const along = x * dx + y * dy;
      const cost = Math.hypot(x, y) + 2 * Math.abs(x * dy - y * dx);
      if (i !== chosen && along > 1e-6 && cost < least) [best, least] = [i, cost];
    });
    choose(best);
    if (best >= 0 && (across(best) < 40 || across(best) > width() - 40 || down(best) < 40 || down(best) > height() - 40)) {
      [view.x, view.y] = [places.x[best], places.y[best]];
    }
    draw();
  }

  function zoom(by, x = width() / 2, y = height() / 2) {
    const scale = Math.max(0.5, Math.min(400, view.scale * by));
    const [px, py] = [x - width() / 2, height() / 2 - y];
    const before = unit();
    view.scale = scale;
    view.x += px / before - px / unit();
    view.y += py / before - py / unit();
    draw();
  }

  function whole() {
    view = { x: 0, y: 0, scale: 1 };
    draw();
  }

  async function load() {
    status.textContent = "Drawing the map …";
    const got = await attempt(() => ask(`/map?field=${encodeURIComponent(field.value)}`));
    status.textContent = "";
    if (!got) return;
    places = got;
    chosen = -1;
    aside.replaceChildren(el("p", { className: "hint" }, "Point at an item, or choose one with the arrow keys."));
    const share = `${Math.round(100 * got.kept)} % of how they differ is seen here`;
    status.textContent = got.ids.length < got.of ? `${got.ids.length.toLocaleString()} of ${got.of.toLocaleString()} items; ${share}` : `${got.ids.length.toLocaleString()} items; ${share}`;
    whole();
  }

  const pointers = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) { if (event.pointerType === "mouse") choose(nearest(event.offsetX, event.offsetY)); return; }
    const [dx, dy] = [event.offsetX - before.offsetX, event.offsetY - before.offsetY];
    moved += Math.abs(dx) + Math.abs(dy);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const span = (one) => Math.hypot(one.offsetX - other.offsetX, one.offsetY - other.offsetY);
      zoom(span(event) / Math.max(1, span(before)), other.offsetX, other.offsetY);
    } else {
      view.x -= dx / unit();
      view.y += dy / unit();
    }
    pointers.set(event.pointerId, event);
    draw();
  });
  const up = (event) => {
    if (pointers.delete(event.pointerId) && event.type === "pointerup" && moved < 6) choose(nearest(event.offsetX, event.offsetY));
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("dblclick", () => { if (chosen >= 0) like(places.ids[chosen], aside.querySelector("p")?.textContent ?? ""); });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (ways[event.key]) step(...ways[event.key]);
    else if (event.key === "+" || event.key === "=") zoom(1.4);
    else if (event.key === "-") zoom(1 / 1.4);
    else if (event.key === "0") whole();
    else if (event.key === "Enter" && chosen >= 0) like(places.ids[chosen], aside.querySelector("p")?.textContent ?? places.ids[chosen]);
    else return;
    event.preventDefault();
  });
  document.querySelector("#nearer").addEventListener("click", () => zoom(1.4));
  document.querySelector("#farther").addEventListener("click", () => zoom(1 / 1.4));
  document.querySelector("#whole").addEventListener("click", whole);
  field.replaceChildren(...about.fields.map((name) => el("option", { value: name }, named(name))));
  field.addEventListener("change", load);
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  return {
    mark(ids) { found = new Set(ids); draw(); },
    open() { if (!asked) { asked = true; load(); } else draw(); },
  };
}
