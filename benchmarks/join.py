"""Can pictures and sounds find each other, no pair of which was ever seen? Two spaces of the built-in world, joined by captions.

One space learns pictures and captions, another sounds and captions, of scenes that have nothing to do with each other.
`sensorium.join` makes one of the two from captions of further scenes. Measured is sound -> picture and back among scenes that
none of them knows: joined by texts alone, with unpaired sounds beside them, with more noise or none, and with a perceptron; and,
for comparison, texts among the pictures and sounds of their own space. Writes results/join.json, and exits with 1 where the
joined space finds fewer than ten times what chance does.
Run: python benchmarks/join.py [--steps 400] (about fifteen minutes of one busy core)
"""

import argparse
import sys
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
from common.record import write

from sensorium.data.synthetic import World
from sensorium.joining import NOISE, join
from sensorium.metrics import retrieval
from sensorium.recipes import senses
from sensorium.recipes.towers import pairs, space
from sensorium.sensorium import Sensorium
from sensorium.training import fit
from sensorium.world import caption, scene, sound

GALLERY, TEXTS, SOUNDS, STYLES = 1000, 4000, 1000, (0.4, 0.1, 0.5)
DIALS: dict[str, dict[str, Any]] = {
    "texts alone": {},
    "texts alone, without noise": {"noise": 0.0},
    "texts alone, noise 1": {"noise": 1.0},
    "texts alone, with a perceptron": {"hidden": 512},
    "with unpaired sounds": {"things": True},
    "with unpaired sounds, with a perceptron": {"things": True, "hidden": 512},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    steps = parser.parse_args().steps
    clip, clap = learned("image", steps, 11), learned("audio", steps, 22)
    further = scene.distinct("train", TEXTS + SOUNDS, 33)
    texts = list(caption.render(further[:TEXTS], caption.styles(further[:TEXTS], STYLES)))
    sounds = [(wave, sound.RATE) for wave in sound.mono(further[TEXTS:])]
    found: dict[str, dict[str, float]] = {"image-text alone": measure(clip), "audio-text alone": measure(clap)}
    for name, dials in DIALS.items():
        things = {"audio": sounds} if dials.get("things") else None
        joined = join(clip, clap, texts, **{key: x for key, x in dials.items() if key != "things"}, things=things)
        found[name] = measure(joined.sensorium) | {f"held-out texts/{key}": x for key, x in joined.metrics.items()}
        print(name, {key: round(x, 3) for key, x in found[name].items()}, flush=True)
    write(
        "join",
        {
            "question": "recall among scenes of the built-in world in a space that was joined by texts",
            "steps": steps,
            "gallery": GALLERY,
            "texts": TEXTS,
            "unpaired sounds": SOUNDS,
            "noise": NOISE,
            "measured": found,
            "chance": {"recall@1": 1 / GALLERY, "recall@10": 10 / GALLERY},
        },
    )
    return int(found["texts alone"]["audio->image/recall@10"] < 10 * 10 / GALLERY)


def learned(kind: str, steps: int, seed: int) -> Sensorium:
    """A space of one kind of things and captions."""
    whole = senses(steps=steps, missing=0.0, seed=seed)
    fields = tuple(field for field in whole.fields if field.kind in (kind, "text"))
    world = World(fields, items=steps * whole.batch, seed=seed, twins=1.0, styles=STYLES)
    made = replace(whole, fields=fields, source=world, model=space(fields, 256), losses=pairs(fields))
    model, history = fit(made)
    print(kind, round(history[-1]["loss"], 3), f"{history[-1]['seconds']:.0f} s", flush=True)
    return Sensorium(model, fields, made.model)


def measure(model: Sensorium) -> dict[str, float]:
    """R@1 and R@10 in every direction."""
    batch = World(model.fields, "validation", GALLERY).read(np.arange(GALLERY))
    parts = [model.units({key: x[at : at + 100] for key, x in batch.items()}, 100) for at in range(0, GALLERY, 100)]
    units = {name: np.concatenate([part[f"{name}/unit"] for part in parts]) for name in model.modalities}
    found = {}
    for a, b in permutations(model.modalities, 2):
        of = retrieval(units[a], units[b], batch["group"], batch["group"], (1, 10))
        found |= {f"{a}->{b}/{name}": of[name] for name in ("recall@1", "recall@10")}
    return found


if __name__ == "__main__":
    sys.exit(main())
