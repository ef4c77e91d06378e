# %% [markdown]
# # A modality of your own, in twenty lines
#
# Depth maps (`.npy`, metres) beside captions: the class below is all that Sensorium needs to check, train on, index, search
# and show them. The same file works on the command line:
# `sensorium --use examples/03_own_modality.py train rooms/ --out runs/rooms`.

# %%
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

import sensorium
from sensorium.modalities import MODALITIES


# %%
@dataclass(frozen=True)
class Depth:
    name: str = "depth"
    size: int = 32
    channels: int = 1
    kind: ClassVar[str] = "depth"
    folder: ClassVar[str] = "depth"
    suffixes: ClassVar[tuple[str, ...]] = (".npy",)
    tower: ClassVar[str] = "convnet"

    def prepare(self, raw):
        metres = np.load(raw, allow_pickle=False)[: self.size, : self.size, None]
        return {self.name: np.clip(metres / 5 - 1, -1, 1).astype(np.float32)}  # 0 to 10 m as -1 to 1

    def blank(self):
        return {self.name: np.zeros((self.size, self.size, 1), np.float32)}

    def show(self, x):
        return Image.fromarray(np.uint8((x[..., 0] + 1) * 127.5))


MODALITIES["depth"] = Depth

# %% [markdown]
# A folder of rooms: a wall that is near or far, on one side or the other, and a sentence that says so.


# %%
def rooms(folder, count):
    random = np.random.default_rng(0)
    for number in range(count):
        far, side = random.choice(["near", "middling", "far"]), random.choice(["left", "right", "top", "bottom"])
        metres = np.full((32, 32), 9.0)
        strip = {"left": np.s_[:, :12], "right": np.s_[:, 20:], "top": np.s_[:12], "bottom": np.s_[20:]}[side]
        metres[strip] = {"near": 1.0, "middling": 3.0, "far": 6.0}[far]
        for name in ("depth", "captions"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        np.save(folder / "depth" / f"room{number:03d}.npy", metres + random.normal(0, 0.2, (32, 32)))
        (folder / "captions" / f"room{number:03d}.txt").write_text(f"a {far} wall at the {side}\n")


# %% [markdown]
# From here on nothing knows that `depth` is not one of the house's own.

# %%
if __name__ == "__main__":
    home = Path(os.environ.get("OUT") or tempfile.mkdtemp())
    rooms(home / "rooms", int(os.environ.get("SCENES", "240")))
    health = sensorium.data.check(home / "rooms")
    print(f"{len(health.good)} items, {len(health.broken)} broken files, fields: {[field.name for field in health.fields]}")
    run = sensorium.train(sensorium.recipes.folder(home / "rooms", steps=int(os.environ.get("STEPS", "150")), width=32))
    model = run.sensorium
    collection = sensorium.search.Collection.update(model, health.good, home / "rooms.collection", root=home / "rooms")
    for query in ({"text": "a near wall at the left"}, {"depth": home / "rooms" / "depth" / "room000.npy"}):
        print(f"\n{query}")
        for hit in collection.query(model, k=3, **query):
            print(f"  {hit.score:.3f} {hit.field:5} {hit.id}  {hit.caption}")
