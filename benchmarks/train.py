"""How fast does a small CLIP train? Samples a second beside the same model in PyTorch (transformers' CLIPModel).

Needs a Python that has torch and transformers:
    python -m venv peers && peers/bin/pip install torch==2.13.0 transformers pillow
    python benchmarks/train.py --peers peers/bin/python
64×64 pictures, patch 8, width 256, 6 layers; texts of 32 tokens, width 256, 4 layers; batch 256; AdamW. The peer makes a random
checkpoint, both load it and take the same steps on the same arrays: their losses have to agree. One process each, in turn;
the first two steps (compilation, warming up) are not counted. Writes results/train.json, and exits with 1 below the goal.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from common.record import write

import sensorium
from sensorium.losses import InfoNCE
from sensorium.models import Space
from sensorium.training import Step, contrast

BATCH, STEPS, FIRST, ROUNDS, GOAL = 256, 6, 2, 2, 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="a Python with torch and transformers")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        verb, folder, batch = given.part
        print(json.dumps(peak() if verb == "peak" else train(Path(folder), int(batch))))
        return 0
    if not given.peers:
        parser.error("--peers is needed: the figures are side by side")
    peer, own = [given.peers, str(Path(__file__).with_name("common") / "peer_clip.py")], [sys.executable, __file__, "--part"]
    with tempfile.TemporaryDirectory() as name:
        run([*peer, "make", name])
        batches(Path(name), given.batch)
        lines = {
            "sensorium": [*own, "train", name, str(given.batch)],
            "torch": [*peer, "train", name, str(given.batch), str(STEPS)],
        }
        runs: dict[str, list[dict]] = {who: [] for who in lines}
        for _ in range(ROUNDS):
            for who, line in lines.items():
                runs[who].append(json.loads(run(line)))
                print(who, runs[who][-1], flush=True)
        peaks = {"sensorium": json.loads(run([*own, "peak", name, "0"])), "torch": json.loads(run([*peer, "peak"]))}
    return told(runs, peaks, given.batch)


def told(runs: dict[str, list[dict]], peaks: dict[str, dict], batch: int) -> int:
    """Writes what was found; 1 where a step is slower than the peer's."""
    np.testing.assert_allclose(runs["sensorium"][0]["losses"], runs["torch"][0]["losses"], rtol=1e-3)
    found = {}
    for who, each in runs.items():
        step = statistics.median(second for one in each for second in one["seconds"][FIRST:])
        gflops = flops(batch) / step / 1e9
        found[who] = {
            **{"samples/s": round(batch / step, 2), "seconds a step": round(step, 3), "GFLOP/s": round(gflops, 1)},
            "of the measured peak": round(gflops / peaks[who]["gflops"], 3),
            "peak GFLOP/s of a product": round(peaks[who]["gflops"], 1),
            "all": [round(second, 3) for one in each for second in one["seconds"]],
        }
    ratio = found["sensorium"]["samples/s"] / found["torch"]["samples/s"]
    losses = {who: [round(loss, 5) for loss in each[0]["losses"]] for who, each in runs.items()}
    result = {"question": "training a small CLIP, samples/s", "batch": batch, "measured": found, "losses": losses}
    write("train", {**result, "over PyTorch": round(ratio, 3), "goal": GOAL})
    print(f"{ratio:.2f}× PyTorch (goal {GOAL})")
    return int(ratio < GOAL)


def batches(folder: Path, rows: int) -> None:
    """The arrays of every step: pixels made ready, and ids that end with the end mark."""
    draw = np.random.default_rng(0)
    for number in range(STEPS):
        ids = draw.integers(0, 512, (rows, 32)).astype(np.int32)
        ids[:, 0], ids[:, -1] = 1022, 1023
        np.savez(folder / f"batch{number}.npz", image=draw.standard_normal((rows, 64, 64, 3), np.float32), text=ids)


def train(folder: Path, rows: int) -> dict[str, list[float]]:
    model = sensorium.load(folder).model
    assert isinstance(model, Space)
    adamw = optax.adamw(1e-4, b1=0.9, b2=0.98, eps=1e-8, weight_decay=0.0)
    step = Step(model, contrast({"clip": (1.0, InfoNCE("image", "text"))}), adamw, settle=Space.settle)
    losses, seconds = [], []
    for number in range(STEPS):
        batch = dict(np.load(folder / f"batch{number}.npz")) | {"text/mask": np.ones((rows, 32), bool)}
        start = time.perf_counter()
        losses.append(float(step(batch)["loss"]))
        seconds.append(time.perf_counter() - start)
    return {"losses": losses, "seconds": seconds}


def flops(rows: int) -> float:
    """Of a step's matrix products: 6 a parameter and token (forward and back), and attention's two products three times over."""

    def tower(tokens: int, depth: int) -> float:
        return rows * depth * (6 * 12 * 256**2 * tokens + 12 * tokens**2 * 256)

    return tower(65, 6) + tower(32, 4) + 6 * rows * 64 * 192 * 256 + 6 * 2 * rows * 256**2 + 6 * rows**2 * 256


def peak() -> dict[str, float]:
    a = jnp.ones((2048, 2048), jnp.float32)
    product = jax.jit(lambda a, b: a @ b).lower(a, a).compile()
    rates = []
    for _ in range(8):
        start = time.perf_counter()
        product(a, a).block_until_ready()
        rates.append(2 * 2048**3 / (time.perf_counter() - start) / 1e9)
    return {"gflops": max(rates)}


def run(line: list[str]) -> str:
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{line}: {done.stderr[-3000:]}")
    return done.stdout.splitlines()[-1] if done.stdout.strip() else ""


if __name__ == "__main__":
    sys.exit(main())
