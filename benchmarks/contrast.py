"""What does contrast over a large batch cost? Seconds and peak memory of loss and gradient, tiled, dense, and dense in PyTorch.

Needs a Python that has torch for the peer:
    python -m venv peers && peers/bin/pip install torch==2.13.0
    python benchmarks/contrast.py --peers peers/bin/python
InfoNCE of N pairs of 512 numbers, each measured in a process of its own, in turn. MB is the process's peak (VmHWM) above what it
held when the inputs were there, compilation included; gradients are part of it. Above 32,768 each is measured once, tiled only.
Writes results/contrast.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common.record import HERE, write

WIDTH, ROUNDS = 512, 3
ROWS = (4_096, 8_192, 16_384, 32_768, 65_536, 131_072)
MOST_DENSE = {"dense": 16_384, "torch": 16_384, "tiled": sys.maxsize}  # N = 32,768 would take torch 20 GB
GOALS = {"tiled over dense, seconds": 1.5, "of PyTorch's memory at 32,768": 0.1, "MB at 131,072": 2048}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="a Python with torch")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="tiled only above 16,384; 131,072 takes ten minutes")
    parser.add_argument("--add", action="store_true", help="keep what was measured of other rows")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(part(given.part[0], int(given.part[1]))))
        return 0
    if not given.peers:
        parser.error("--peers is needed: the figures are side by side")
    peer = str(Path(__file__).with_name("common") / "peer_contrast.py")
    before = HERE / "results" / "contrast.json"
    measured = json.loads(before.read_text())["measured"] if given.add and before.is_file() else {}
    for rows in given.rows:
        lines = {name: [sys.executable, __file__, "--part", name, str(rows)] for name in ("tiled", "dense")}
        lines["torch"] = [given.peers, peer, str(rows), str(WIDTH), "1"]
        fit = {name: line for name, line in lines.items() if rows <= MOST_DENSE[name]}
        measured[str(rows)] = take(fit, ROUNDS if rows <= 32_768 else 1)
        print(rows, json.dumps(measured[str(rows)]), flush=True)
        found = compare(measured)
        question = "loss and gradient of InfoNCE, d = 512"
        write("contrast", {"question": question, "measured": measured, "found": found, "goals": GOALS})
    for name, value in compare(measured).items():
        print(f"{name}: {value:.3f} (goal {GOALS[name]})")
    return 0


def take(lines: dict[str, list[str]], rounds: int) -> dict[str, dict[str, object]]:
    """Median seconds and largest peak of fresh processes, one of each in turn, so that a busy machine is busy for all of them;
    `load` is the load average of the machine before each."""
    runs: dict[str, list[dict]] = {name: [] for name in lines}
    for _ in range(rounds):
        for name, line in lines.items():
            load = os.getloadavg()[0]
            done = subprocess.run(line, check=True, capture_output=True, text=True)
            runs[name].append({**json.loads(done.stdout.splitlines()[-1]), "load": load})
    return {name: _summary(of) for name, of in runs.items()}


def _summary(runs: list[dict]) -> dict[str, object]:
    seconds = [min(run["seconds"]) for run in runs]
    return {
        "seconds": round(statistics.median(seconds), 3),
        "all": [round(value, 3) for value in seconds],
        "MB": round(max(run["MB"] for run in runs), 1),
        "load": [round(run["load"], 1) for run in runs],
    }


def compare(measured: dict[str, dict[str, dict]]) -> dict[str, float]:
    """The figures that have goals, as far as they were measured.

    PyTorch's memory at 32,768 is four times that at 16,384, where it can be measured: the table has four times the numbers.
    """
    found = {}
    both = [sizes for sizes in measured.values() if "dense" in sizes]
    if both:
        found["tiled over dense, seconds"] = max(sizes["tiled"]["seconds"] / sizes["dense"]["seconds"] for sizes in both)
    if {"16384", "32768"} <= measured.keys():
        found["of PyTorch's memory at 32,768"] = measured["32768"]["tiled"]["MB"] / (4 * measured["16384"]["torch"]["MB"])
    if "131072" in measured:
        found["MB at 131,072"] = measured["131072"]["tiled"]["MB"]
    return found


def part(name: str, rows: int) -> dict[str, object]:
    """One process's seconds, and MB above what it held before the program was compiled."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from common.held import memory

    from sensorium.losses import InfoNCE, total

    random, units = np.random.default_rng(0), {}
    for side in "ab":
        x = random.standard_normal((rows, WIDTH), np.float32)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        units[f"{side}/unit"] = jax.device_put(x)
    outputs = jax.block_until_ready({**units, "scale": jnp.float32(20.0)})
    batch = {"row": jnp.arange(rows)}
    losses = {"it": (1.0, InfoNCE("a", "b", tiled=name == "tiled"))}
    before = memory("VmRSS")
    program = jax.jit(jax.value_and_grad(lambda outputs: total(losses, outputs, batch)[0])).lower(outputs).compile()
    seconds = []
    for _ in range(1 if rows > 32_768 else 3):
        start = time.perf_counter()
        jax.block_until_ready(program(outputs))
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "MB": memory("VmHWM") - before}


if __name__ == "__main__":
    sys.exit(main())
