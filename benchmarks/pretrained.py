"""Do published checkpoints give the same numbers here as in PyTorch, and how fast? Parity of every family on small checkpoints,
then a CLIP ViT-B/32 of full size with random weights: pictures and texts a second, the time to load it and the memory it takes.

Needs a Python that has torch and transformers for the peer:
    python -m venv peers && peers/bin/pip install torch==2.13.0 'transformers==5.*' pillow sentencepiece protobuf
    python benchmarks/pretrained.py --peers peers/bin/python [--all PYTHON]
Parity of OpenCLIP, r3d_18 and sentence-transformers needs open_clip, torchvision and sentence_transformers: `--all` is a Python
that has these too, where the first has not. Writes results/pretrained.json and the table of docs/guide/pretrained.md; exits with
1 where a difference is above 1e-4.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common.held import memory
from common.record import HERE, write

TESTS = HERE.parent / "tests" / "pretrained"
PEER = HERE / "common" / "peer_pretrained.py"
BATCHES, ROUNDS, CALLS = (1, 8, 32), 2, 3
GOALS = {"of PyTorch's speed": 1.0, "of the file's size in memory": 1.2}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="a Python with torch and transformers")
    parser.add_argument("--all", help="a Python that has the libraries of all references, for parity")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(part(Path(given.part))))
        return 0
    if not given.peers:
        parser.error("--peers is needed: the figures are side by side")
    parity = json.loads(run([sys.executable, str(TESTS / "parity.py"), "--peers", given.all or given.peers, "--json"]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run([given.peers, str(PEER), "make", name])
        for path in (TESTS / "recorded" / "clip").glob("*token*.json"):
            shutil.copy(path, folder)
        (folder / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "CLIPImageProcessor"}))
        sides = measured(given.peers, folder)
        size = (folder / "model.safetensors").stat().st_size / 2**20
    found = compared(sides, size) | shares(sides, given.peers)
    question = "CLIP ViT-B/32: rows a second by batch, seconds to load, MB above what was held before"
    write("pretrained", {"question": question, "parity": parity, "sides": sides, "found": found, "goals": GOALS})
    run([sys.executable, str(TESTS / "parity.py"), "--document"])
    for key, value in found.items():
        print(f"{key}: {value:.2f}")
    return int(max(max(row["ours"], row["given back"]) for row in parity.values()) > 1e-4)


def measured(peers: str, folder: Path) -> dict[str, Any]:
    """The best of some fresh processes of each side, one of each in turn; `load average` before each."""
    lines = {
        "sensorium": [sys.executable, __file__, "--part", str(folder)],
        "transformers": [peers, str(PEER), "time", str(folder), *map(str, BATCHES)],
    }
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in lines}
    for _ in range(ROUNDS):
        for side, line in lines.items():
            load = os.getloadavg()[0]
            runs[side].append(json.loads(run(line)) | {"load average": load})
    return {
        side: {
            "load average": [one["load average"] for one in rounds],
            "load": min(one["load"] for one in rounds),
            "MB": min(one["MB"] for one in rounds),
            **{field: {str(b): b / min(one[field][str(b)] for one in rounds) for b in BATCHES} for field in ("image", "text")},
        }
        for side, rounds in runs.items()
    }


def part(folder: Path) -> dict[str, Any]:
    """Our side, in a process of its own."""
    import jax

    import sensorium

    jax.block_until_ready(jax.numpy.zeros(1))
    before, start = memory("VmRSS"), time.perf_counter()
    model = sensorium.load(folder)
    out: dict[str, Any] = {"load": time.perf_counter() - start, "MB": memory("VmHWM") - before}
    draw = np.random.default_rng(0)
    pixels, ids = draw.normal(size=(max(BATCHES), 224, 224, 3)).astype(np.float32), draw.integers(3, 400, (max(BATCHES), 77))
    for field, rows in (("image", pixels), ("text", ids.astype(np.int32))):
        out[field] = {str(b): least({field: rows[:b]}, model) for b in BATCHES}
    return out


def least(batch: dict[str, np.ndarray], model: Any) -> float:
    """Seconds of the quickest of some calls after the first, which compiles."""
    rows = len(next(iter(batch.values())))
    model.units(batch, rows)
    best = float("inf")
    for _ in range(CALLS):
        start = time.perf_counter()
        model.units(batch, rows)
        best = min(best, time.perf_counter() - start)
    return best


def compared(sides: dict[str, Any], size: float) -> dict[str, float]:
    ours, theirs = sides["sensorium"], sides["transformers"]
    found = {
        f"{field}s, batch {b}: of PyTorch's speed": ours[field][b] / theirs[field][b]
        for field in ("image", "text")
        for b in ours[field]
    }
    return found | {"of the file's size in memory": ours["MB"] / size, "of PyTorch's time to load": ours["load"] / theirs["load"]}


def shares(sides: dict[str, Any], peers: str) -> dict[str, float]:
    """Of the largest batch, how much of what a product of two matrices reaches in the same framework (see train.py)."""
    train, peer = HERE / "train.py", HERE / "common" / "peer_clip.py"
    peaks = {
        "sensorium": json.loads(run([sys.executable, str(train), "--part", "peak", "", "0"]))["gflops"],
        "transformers": json.loads(run([peers, str(peer), "peak"]))["gflops"],
    }
    flops = {"image": tower(50, 768) + 2 * 49 * 3072 * 768, "text": tower(77, 512)}
    most = str(max(BATCHES))
    return {
        f"{field}s, batch {most}: {side}'s share of a product's {peak:.0f} GFLOP/s": sides[side][field][most] * n / 1e9 / peak
        for side, peak in peaks.items()
        for field, n in flops.items()
    }


def tower(tokens: int, width: int) -> float:
    """Floating-point operations of twelve layers with perceptrons four times as wide."""
    return 12 * (2 * tokens * 12 * width**2 + 4 * tokens**2 * width)


def run(line: list[str]) -> str:
    """The last line that a process prints; empty where it prints nothing."""
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    return (done.stdout.strip().splitlines() or [""])[-1]


if __name__ == "__main__":
    sys.exit(main())
