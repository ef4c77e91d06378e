"""Does it help to rank hits anew by their tokens, or to take the gap between the kinds out of the vectors?

Asked of a small space of pictures and captions of the built-in world, none of whose losses looks at tokens. The gallery and the
queries are scenes of the validation split, captions for pictures and back. Re-ranked are the first 5, 10 and 20 hits, by MaxSim
(`search.late`) and by the sum of MaxSim and cosine; centred are both kinds, by their own means and by those of further scenes
(`search.centre`). Each change of R@1 has its 95 % interval (bootstrap over queries). Writes results/late.json.
Run: python benchmarks/late.py [--steps 350] (some two minutes of a free core), or [--model DIR] for one that is learned already
"""

import argparse
import sys
from dataclasses import replace
from typing import Any

import numpy as np
from common.record import write
from jaxtyping import Float

import sensorium
from sensorium.data.synthetic import World
from sensorium.metrics import bootstrap
from sensorium.models.pieces import pieces
from sensorium.recipes import senses
from sensorium.recipes.towers import pairs, space
from sensorium.search.centre import Centred, gaps
from sensorium.sensorium import Sensorium
from sensorium.training import fit
from sensorium.world import caption, picture, scene

STYLES = (0.4, 0.1, 0.5)
SCENES, FURTHER = 400, 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=350)
    parser.add_argument("--model")
    parser.add_argument("--note", default="", help="what is to be said of --model")
    given = parser.parse_args()
    model = sensorium.load(given.model) if given.model else learned(given.steps)
    things = of("validation", SCENES, 11)
    z = model.encode(**things)
    told: dict[str, Any] = {"scenes": SCENES, "steps": None if given.model else given.steps, "note": given.note}
    for a, b in (("text", "image"), ("image", "text")):
        told[f"{a}->{b}"] = reranked(model, things, z, a, b)
    told["centred"] = {
        "by their own means": moved(model, z, z),
        "by the means of further scenes": moved(model, z, model.encode(**of("train", FURTHER, 3))),
    }
    write("late", told)
    print(told)
    return 0


def learned(steps: int) -> Sensorium:
    whole = senses(steps=steps, missing=0.0)
    fields = tuple(field for field in whole.fields if field.kind in ("image", "text"))
    world = World(fields, items=steps * whole.batch, seed=0, twins=0.0, styles=STYLES)
    made = replace(whole, fields=fields, source=world, model=space(fields, 256), losses=pairs(fields))
    return Sensorium(fit(made)[0], fields, made.model)


def of(split: str, n: int, seed: int) -> dict[str, list[Any]]:
    scenes = scene.distinct(split, n, seed)
    return {"image": list(picture.render(scenes)), "text": caption.render(scenes, caption.styles(scenes, STYLES))}


def reranked(model: Sensorium, things: dict[str, list[Any]], z: dict[str, np.ndarray], a: str, b: str) -> dict[str, Any]:
    scores = z[a] @ z[b].T
    order = np.argsort(-scores, axis=1, kind="stable")
    (q, q_there), (d, d_there) = (tokens(model, name, things[name]) for name in (a, b))
    out: dict[str, Any] = {"cosine": {"recall@1": found(order)}}
    for n in (5, 10, 20):
        first = order[:, :n]
        like = np.einsum("qid,qnjd->qnij", q, d[first], optimize=True)
        best = np.where(d_there[first][:, :, None], like, -1).max(3)
        late = (best * q_there[:, None]).sum(2) / q_there.sum(1)[:, None]
        for name, by in (("MaxSim", late), ("MaxSim + cosine", late + np.take_along_axis(scores, first, 1))):
            again = np.take_along_axis(first, np.argsort(-by, axis=1, kind="stable"), 1)
            out[f"{name}, the first {n}"] = {"recall@1": found(again), **change(again, order)}
    return out


def moved(model: Sensorium, z: dict[str, np.ndarray], sample: dict[str, np.ndarray]) -> dict[str, Any]:
    by = Centred(model, {name: x.mean(0) for name, x in sample.items()})
    after = {name: by.centred(name, x) for name, x in z.items()}
    out: dict[str, Any] = {"gap": gaps(z), "gap after": gaps(after)}
    for a, b in (("text", "image"), ("image", "text")):
        before, now = (np.argsort(-(x[a] @ x[b].T), axis=1, kind="stable") for x in (z, after))
        out[f"{a}->{b}"] = {"recall@1": found(before), "recall@1 after": found(now), **change(now, before)}
    return out


def tokens(model: Sensorium, name: str, raws: list[Any]) -> tuple[Float[np.ndarray, "N L D"], np.ndarray]:
    vectors, there, _ = pieces(model.model, name, model.prepare(**{name: raws}))
    return vectors / np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), 1e-9), there


def found(order: np.ndarray) -> float:
    return float((order[:, 0] == np.arange(len(order))).mean())


def change(now: np.ndarray, before: np.ndarray) -> dict[str, Any]:
    """Of R@1, query by query."""
    right = [(order[:, 0] == np.arange(len(order))).astype(float) for order in (now, before)]
    return {"change": float((right[0] - right[1]).mean()), "interval": bootstrap(right[0] - right[1])}


if __name__ == "__main__":
    sys.exit(main())
