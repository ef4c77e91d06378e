"""How many pictures a second does a bulk job embed in this process, and under a supervisor of one and of two processes?

A folder of JPEGs with captions is embedded by `sensorium embed` into as many shards of equal size, by a space of random weights
with the library's own towers; every run is a command of its own and makes all of it anew, the engines take turns. Told are the
whole command (start, listing, loading and compiling) and the shards alone. Checks that all engines wrote the same rows, and
exits with 1 where they did not.
Run: python benchmarks/embed.py [--items 2048] [--rounds 3]   Writes results/embed.json.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from common.record import write
from PIL import Image as Pillow

from sensorium.bulk import shards, status
from sensorium.modalities import Image, Text
from sensorium.recipes.towers import space
from sensorium.sensorium import Sensorium

SHARDS, SIDE = 8, 256
ENGINES = {
    "here": [],
    "1 process": ["--engine", "processes", "--workers", "1"],
    "2 processes": ["--engine", "processes", "--workers", "2"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in ENGINES}
    rows: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        place = made(Path(folder), given.items)
        for number in range(given.rounds):
            for name in ENGINES:
                out = place / f"{name} {number}"
                measured[name].append(run(place, name, out))
                rows.add(hash_of(out))
                print(name, measured[name][-1], flush=True)
    write(
        "embed",
        {
            "question": "pictures a second that `sensorium embed` embeds: here, and under a supervisor of processes",
            "items": given.items,
            "shards": SHARDS,
            "side in pixels": SIDE,
            "load of the machine before and after": [round(load, 1) for load in (LOAD, os.getloadavg()[0])],
            "median of the rounds": {
                name: {key: round(median(one[key] for one in found), 2) for key in found[0]} for name, found in measured.items()
            },
            "rounds": measured,
            "the same rows": len(rows) == 1,
        },
    )
    return int(len(rows) != 1)


def made(place: Path, items: int) -> Path:
    """Pictures that a JPEG's size depends on little, captions, and a model."""
    draws = np.random.default_rng(0)
    for kind in ("images", "captions"):
        (place / "photos" / kind).mkdir(parents=True)
    for i in range(items):
        coarse = Pillow.fromarray(draws.integers(0, 256, (16, 16, 3), np.uint8)).resize((SIDE, SIDE))
        coarse.save(place / f"photos/images/{i:06d}.jpg", quality=85)
        (place / f"photos/captions/{i:06d}.txt").write_text(f"a picture of number {i}")
    fields = Image(size=64), Text(words=("a", "picture", "of", "number"), alphabet="0123456789", length=16)
    card = space(fields, 256)
    Sensorium(card.build(0), fields, card).save_pretrained(place / "model")
    return place


def run(place: Path, engine: str, out: Path) -> dict[str, float]:
    words = ["embed", str(place / "photos"), "--model", str(place / "model"), "--out", str(out), "--shards", str(SHARDS)]
    line = [sys.executable, "-m", "sensorium", *words, *ENGINES[engine], "--json"]
    told = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
    busy = sum(report.seconds for report in status(out).done.values()) / (2 if engine.startswith("2") else 1)
    return {"seconds": told["seconds"], "items/s, all": told["rows"] / told["seconds"], "items/s, in shards": told["rows"] / busy}


def hash_of(out: Path) -> str:
    digest = hashlib.sha256()
    for batch in shards(out):
        digest.update(json.dumps(batch.to_pylist(), default=bytes.hex).encode())
    return digest.hexdigest()


LOAD = os.getloadavg()[0]

if __name__ == "__main__":
    sys.exit(main())
