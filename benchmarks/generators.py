"""Does every generator learn? Each is trained on the synthetic data at the guide's size, in two minutes of one processor or less.

Pictures 32×32×3, texts of 50 tokens from 1,000, one second of sound at 16 kHz, alignment 0.8. Pictures and sounds: the share
of what the source determines that the generator has (target 0.9). Texts: next-token accuracy over that of an ideal observer
(target 0.9). Both on samples of the test split. Writes results/generators.json when all have run, and exits with 1 below a
target. Run: python benchmarks/generators.py [direction …], as in text-image
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from common.record import write
from flax import nnx

from sensorium.multi_modal.datasets import create_synthetic_multi_modal_dataset
from sensorium.multi_modal.generators import (
    AudioToImageGenerator,
    AudioToTextGenerator,
    ImageToAudioGenerator,
    ImageToTextGenerator,
    TextToAudioGenerator,
    TextToImageGenerator,
    VideoToTextGenerator,
)

PICTURE, SAMPLES, VOCABULARY, LENGTH, CLIP = (32, 32, 3), 16_000, 1000, 50, (8, 16, 16, 3)
ALIGNMENT, TESTED, TARGET, SECONDS = 0.8, 1024, 0.9, 120


@dataclass(frozen=True)
class Run:
    """A generator and the dials that it is trained with."""

    build: Callable[[], Any]
    steps: int
    batch_size: int = 64
    lr: float = 3e-3


RUNS = {
    "text-image": Run(lambda: TextToImageGenerator(VOCABULARY, 64, PICTURE, rngs=nnx.Rngs(0), max_length=LENGTH), 300),
    "text-audio": Run(lambda: TextToAudioGenerator(VOCABULARY, 64, SAMPLES, rngs=nnx.Rngs(0), max_length=LENGTH), 300),
    "image-audio": Run(lambda: ImageToAudioGenerator(PICTURE, SAMPLES, 256, rngs=nnx.Rngs(0)), 200),
    "audio-image": Run(lambda: AudioToImageGenerator(SAMPLES, PICTURE, 256, rngs=nnx.Rngs(0)), 200),
    "image-text": Run(
        lambda: ImageToTextGenerator(PICTURE, VOCABULARY, LENGTH, 64, rngs=nnx.Rngs(0), num_heads=4), 900, 16, 7e-3
    ),
    "audio-text": Run(
        lambda: AudioToTextGenerator(SAMPLES, VOCABULARY, LENGTH, 64, rngs=nnx.Rngs(0), num_heads=4), 900, 16, 4e-3
    ),
    "video-text": Run(lambda: VideoToTextGenerator(CLIP, VOCABULARY, LENGTH, 64, rngs=nnx.Rngs(0), num_heads=4), 900, 16, 7e-3),
}


def main(names: list[str]) -> int:
    measured = {}
    for name in names or RUNS:
        measured[name] = _measure(name, RUNS[name])
        print(name, measured[name], flush=True)
    if set(measured) == set(RUNS):
        what = "share of what can be known of the target (texts: next-token accuracy over the best possible)"
        write("generators", {"question": what, "generators": measured, "target": {"share": TARGET, "cpu_seconds": SECONDS}})
    return int(any(result["share"] < TARGET or result["cpu_seconds"] > SECONDS for result in measured.values()))


def _measure(name: str, run: Run) -> dict[str, float]:
    source, target = name.split("-")
    sizes: dict[str, Any] = {"image_shape": PICTURE, "text_vocab_size": VOCABULARY, "text_sequence_length": LENGTH}
    train, test = (
        create_synthetic_multi_modal_dataset((source, target), n, ALIGNMENT, **sizes, video_shape=CLIP, rngs=0, split=split)
        for n, split in ((1_000_000, "train"), (TESTED, "test"))
    )
    generator = run.build()
    start, cpu = time.perf_counter(), time.process_time()
    history = generator.fit(train, run.steps, batch_size=run.batch_size, lr=run.lr, seed=0)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    share = _token_share(generator, test, source) if target == "text" else _explained(generator, test, source, target)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(generator)))
    return {
        "share": round(share, 4),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "compile_seconds": history[0]["seconds/compile"],
        "samples": run.steps * run.batch_size,
        "parameters": parameters,
    }


def _explained(generator: Any, test: Any, source: str, target: str) -> float:
    graph, state = nnx.split(generator)
    make = jax.jit(lambda state, x: nnx.merge(graph, state)(x))
    made = [np.asarray(make(state, test.read(rows)[source])) for rows in np.arange(TESTED).reshape(-1, 128)]
    return test.explained(source, target, np.arange(TESTED), np.concatenate(made))


def _token_share(generator: Any, test: Any, source: str) -> float:
    graph, state = nnx.split(generator)
    logits = jax.jit(lambda state, x, text: nnx.merge(graph, state).logits(x, text))
    right = []
    for rows in np.arange(TESTED).reshape(-1, 128):
        batch = test.read(rows)
        guess = np.asarray(logits(state, batch[source], batch["text"])).argmax(-1)
        right.append(guess == batch["text"])
    return float(np.mean(right)) / test.token_ceiling(source)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
