"""How long do 10,000 samples of the guide's data take? Pictures 32×32×3, texts of 50 tokens, one second of sound at 16 kHz.

Ours: made in batches by one program, after it is compiled. With `--seeds DIR`, the directory of the guide, its own sample code
too, in the same run: 20 samples of its loop, times 500. And memory: that of a process that walks through 20,000 of ten million
samples, against one that walks through 2,000. Writes results/synthetic.json, and exits with 1 above the target.
Run: python benchmarks/synthetic.py
"""

import argparse
import resource
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import jax
import numpy as np
from common.record import write

from sensorium.multi_modal.datasets import create_synthetic_multi_modal_dataset

SAMPLES, BATCH, RUNS, LOOPED, TARGET = 10_000, 100, 5, 20, 5.0
WALKS = (2_000, 20_000)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--seeds", type=Path)
    arguments.add_argument("--walk", type=int)
    given = arguments.parse_args()
    if given.walk:
        print(_walk(given.walk))
        return 0
    dataset = create_synthetic_multi_modal_dataset(["image", "text", "audio"], SAMPLES, rngs=0)
    jax.block_until_ready(dataset._batch(np.arange(BATCH)))
    seconds = sorted(_seconds(dataset) for _ in range(RUNS))
    result = {
        "question": "seconds for 10,000 samples of the guide's data, after compilation",
        "seconds": {"median": seconds[RUNS // 2], "min": seconds[0], "max": seconds[-1]},
        "target": {"median": TARGET},
        "peak_megabytes_of_a_walk": {str(n): _megabytes(n) for n in WALKS},
    }
    if given.seeds:
        result["sample_code_seconds"] = round(_sample_code(given.seeds), 1)
    write("synthetic", result)
    print(result)
    return int(result["seconds"]["median"] > TARGET)


def _seconds(dataset) -> float:
    start = time.perf_counter()
    for rows in np.arange(SAMPLES).reshape(-1, BATCH):
        jax.block_until_ready(dataset._batch(rows))
    return round(time.perf_counter() - start, 3)


def _walk(n: int) -> float:
    """Peak memory, in MB, of this process after it walked through `n` of ten million samples."""
    dataset = create_synthetic_multi_modal_dataset(["image", "text", "audio"], 10_000_000, rngs=0)
    for _ in islice(dataset.epoch(BATCH), n // BATCH):
        pass
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _megabytes(n: int) -> float:
    line = [sys.executable, __file__, "--walk", str(n)]
    return float(subprocess.run(line, capture_output=True, text=True, check=True).stdout)


def _sample_code(seeds: Path) -> float:
    """Seconds that the guide's `generate_aligned_sample` would take for as many samples, from some of them."""
    from sample_code import definitions

    guide = definitions(next(seeds.glob("001_*")).read_text(encoding="utf-8"))
    latents = jax.random.normal(jax.random.key(0), (LOOPED + 1, 32))
    jax.block_until_ready(guide["generate_aligned_sample"](latents[-1], 0.8))
    start = time.perf_counter()
    for latent in latents[:-1]:
        jax.block_until_ready(guide["generate_aligned_sample"](latent, 0.8))
    return (time.perf_counter() - start) * SAMPLES / LOOPED


if __name__ == "__main__":
    sys.exit(main())
