"""The guide's synthetic data: samples made as they are asked for, of known alignment and with known limits."""

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int, Num

from sensorium.core.errors import UnknownName, nearest
from sensorium.core.randomness import key_of, named
from sensorium.latent import observer
from sensorium.latent.copies import DIMENSIONS, check, copies
from sensorium.latent.render import Shapes, known, mean_squashed, render, shape
from sensorium.latent.words import Language
from sensorium.multi_modal.sampling import Epochs, Sampler, epochs

SPLITS = ("train", "validation", "test")
MOST = 2**32
BLOCK = 64
"""Samples made at a time while one iterates."""
Rows = Int[np.ndarray, " B"] | Int[jax.Array, " B"] | Sequence[int] | range


def create_synthetic_multi_modal_dataset(
    modalities: Sequence[str],
    num_samples: int = 1000,
    alignment_strength: float = 0.8,
    *,
    image_shape: Sequence[int] = (32, 32, 3),
    text_vocab_size: int = 1000,
    text_sequence_length: int = 50,
    audio_sample_rate: int = 16000,
    audio_duration: float = 1.0,
    video_shape: Sequence[int] = (8, 16, 16, 3),
    sensor_shape: Sequence[int] = (128, 6),
    rngs: nnx.Rngs | jax.Array | int,
    split: str = "train",
) -> "SyntheticMultiModalDataset":
    """Aligned samples of any of image, text, audio, video and sensor, all telling of one latent of 32 numbers.

    Args:
        modalities: Which, in the order of the sample's keys.
        num_samples: How many; they are made when asked for, so that ten million cost nothing.
        alignment_strength: 0 (independent) to 1 (noise-free), with one meaning in every modality (see `latent.copies`).
        image_shape: H, W, C; values in [0, 1].
        text_vocab_size: Ids, at least 11: 0 pads, 1 ends, words from 2.
        text_sequence_length: Ids in a text, the end among them.
        audio_sample_rate: Hz.
        audio_duration: Seconds; values in [-1, 1].
        video_shape: T, H, W, C; values in [0, 1].
        sensor_shape: Samples and channels.
        rngs: Its next key makes the data: two data sets made of one `nnx.Rngs` in turn have nothing in common.
        split: train, validation or test: disjoint, also where the key is the same.
    """
    if not modalities or len(set(modalities)) != len(modalities):
        raise ValueError(f"modalities={list(modalities)}: expected one or more different names")
    if not 1 <= num_samples <= MOST:
        raise ValueError(f"num_samples={num_samples}: expected 1 to {MOST}, as a sample is known by a number of 32 bits")
    if split not in SPLITS:
        raise UnknownName(f"no split is called {split!r}.{nearest(split, SPLITS)}")
    shapes = Shapes(
        tuple(image_shape),  # type: ignore[arg-type]
        Language(text_vocab_size, text_sequence_length),
        audio_sample_rate,
        audio_duration,
        tuple(video_shape),  # type: ignore[arg-type]
        tuple(sensor_shape),  # type: ignore[arg-type]
    )
    for modality in modalities:
        if known(modality) != "text":
            shapes.patterns(modality)  # tells of a shape that is too small, now
    check(np.zeros(DIMENSIONS), alignment_strength)
    key = named(key_of(rngs), split)
    return SyntheticMultiModalDataset(tuple(modalities), num_samples, float(alignment_strength), shapes, key)


@dataclass(frozen=True, eq=False)
class SyntheticMultiModalDataset:
    """`num_samples` samples, each a function of the key and of its number. Made by `create_synthetic_multi_modal_dataset`.

    `dataset[i]` is a dict of the modalities, `alignment_score` and `latent` f32[32]; `get_batch` and the epochs of `epoch`
    stack them. It is a source for the trainer too (`read`).
    """

    modalities: tuple[str, ...]
    num_samples: int
    alignment_strength: float
    shapes: Shapes
    key: jax.Array

    def __post_init__(self):
        seed = jax.random.randint(named(self.key, "order"), (), 0, 2**31 - 1)
        object.__setattr__(self, "_sampler", Sampler(self.num_samples, int(seed)))

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, i: SupportsIndex) -> dict[str, Any]:
        number = operator.index(i)
        if not -len(self) <= number < len(self):
            raise IndexError(f"sample {number} of a data set of {len(self)}")
        return self._sample(self._made(np.array([number % len(self)])), 0)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for start in range(0, len(self), BLOCK):
            rows = np.arange(start, start + BLOCK)  # always as many, for one program; what is beyond the end is dropped
            made = jax.device_get(self._made(rows))
            for i in range(min(BLOCK, len(self) - start)):
                yield self._sample(made, i)

    def get_batch(self, batch_size: int, rngs: nnx.Rngs | jax.Array | int | None = None) -> dict[str, jax.Array]:
        """The next `batch_size` samples of a shuffled walk through the data, epoch after epoch; with `rngs`, samples drawn by
        its next key, none twice in the batch."""
        rows = self._sampler.next(batch_size) if rngs is None else self._sampler.draw(batch_size, key_of(rngs))  # type: ignore[attr-defined]
        return self._batch(rows)

    def epoch(
        self, batch_size: int, seed: int = 0, start: int = 0, drop_remainder: bool = True, repeat: int | None = 1
    ) -> Epochs:
        """Shuffled epochs as an iterator of batches whose position can be saved and restored (see `multi_modal.sampling`)."""
        return epochs(self._batch, len(self), batch_size, seed, start, drop_remainder, repeat)

    def read(self, rows: Rows, draw: int = 0) -> dict[str, np.ndarray]:
        """The batch of some rows for the trainer, with `group`, the rows themselves."""
        numbers = self._numbers(rows)
        return jax.device_get(self._batch(numbers)) | {"group": numbers.astype(np.int32)}

    def only(self, *modalities: str) -> "SyntheticMultiModalDataset":
        """The same samples with some of their modalities: the others are not made."""
        for name in modalities:
            self._has(name)
        return replace(self, modalities=modalities)

    def spell(self, i: SupportsIndex) -> str:
        """The text of a sample, to be read aloud."""
        self._has("text")
        return self.shapes.language.spell(np.asarray(self.only("text")[i]["text"]))

    # What is known of the data

    def ceiling(self, query: str, target: str, gallery: int = 100, k: int = 1) -> float:
        """R@k that an ideal observer reaches who knows the generator: no model does better than by chance.

        Each query of one modality is looked for among `gallery` samples of the other. Monte Carlo over 20,000 queries or
        more: its standard error is below 0.004.
        """
        self._both(query, target)
        if not 1 <= k <= gallery:
            raise ValueError(f"k={k} of a gallery of {gallery}: expected 1 to {gallery}")
        return observer.ceiling(query, target, self.alignment_strength, self.shapes.language, gallery, k, 20_000, seed=0)

    def token_ceiling(self, source: str) -> float:
        """The best accuracy at the next token of a text, given another modality and the tokens before it (the end counts)."""
        self._both(source, "text")
        return observer.token_ceiling(self.alignment_strength, self.shapes.language, 10_000, seed=0)

    def best_guess(self, source: str, target: str, rows: Rows) -> Float[np.ndarray, "..."]:
        """E[target | source] of some samples: what an ideal observer draws, plays or traces who has the source only."""
        self._both(source, target)
        if target == "text":
            raise ValueError("a text has no mean: compare tokens, with `token_ceiling`")
        seen = np.asarray(self._copy(source, self._numbers(rows)), np.float64)
        mean, variance = observer.posterior(seen, source == "text", self.alignment_strength**2, self.shapes.language)
        patterns = self.shapes.patterns(target)
        signal, spread = jnp.asarray(mean, jnp.float32) @ patterns.T, jnp.asarray(variance, jnp.float32) @ np.square(patterns).T
        guess = mean_squashed(target, signal, spread)
        return np.asarray(guess).reshape(-1, *shape(target, self.shapes))

    def explained(self, source: str, target: str, rows: Rows, prediction: Num[np.ndarray, "..."] | jax.Array) -> float:
        """The share of what `source` determines of `target` that a prediction has: 1 − |prediction − best|² / |best − mean|².

        A `ValueError` where it determines nothing that differs: a strength of 0, or fewer than two different rows.
        """
        best = self.best_guess(source, target, rows)
        if np.shape(prediction) != best.shape:
            raise ValueError(f"a prediction of shape {np.shape(prediction)}: expected {best.shape}, as {target} has it")
        around = np.square(best - best.mean(0)).sum()
        if self.alignment_strength == 0 or len(np.unique(np.asarray(rows))) < 2 or not around > 0:
            raise ValueError(
                f"{source} determines nothing that differs in {target} of {len(best)} rows at "
                f"alignment_strength={self.alignment_strength:g}: there is no share of it. Give two rows or more, and a "
                "strength above 0"
            )
        return float(1 - np.square(np.asarray(prediction) - best).sum() / around)

    def measured_alignment(self, samples: int = 256) -> dict[str, float]:
        """The correlation of each modality with its noise-free form, as it is in the first samples (of texts: of the stems)."""
        rows = np.arange(min(samples, len(self)))
        noisy, clean = self._made(rows), replace(self, alignment_strength=1.0)._made(rows)
        pairs = {name: (np.asarray(noisy[name]), np.asarray(clean[name])) for name in self.modalities}
        if "text" in pairs:
            pairs["text"] = tuple(self.shapes.language.stems(text) for text in pairs["text"])  # type: ignore[assignment]
        return {name: float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for name, (a, b) in pairs.items()}

    def _numbers(self, rows: Rows) -> Int[np.ndarray, " B"]:
        """Rows as an array; an `IndexError` for those that are not there, or for none."""
        numbers = np.asarray(rows)
        if len(numbers) == 0 or numbers.min() < 0 or numbers.max() >= len(self):
            raise IndexError(f"rows {numbers[:8].tolist()} … of a data set of {len(self)}")
        return numbers

    def _has(self, modality: str) -> None:
        if modality not in self.modalities:
            raise UnknownName(f"this data set has no {modality!r}.{nearest(modality, self.modalities)}")

    def _both(self, one: str, other: str) -> None:
        self._has(one)
        self._has(other)
        if one == other:
            raise ValueError(f"{one} with itself: give two different modalities")

    def _sample(self, made: dict[str, Any], i: int) -> dict[str, Any]:
        shown = {name: made[name][i] for name in self.modalities}  # a compiled function sorts its names
        return shown | {"alignment_score": self.alignment_strength, "latent": made["latent"][i]}

    def _batch(self, rows: np.ndarray) -> dict[str, jax.Array]:
        made = self._made(rows)
        score = jnp.full(len(rows), self.alignment_strength, jnp.float32)
        return {name: made[name] for name in self.modalities} | {"alignment_score": score, "latent": made["latent"]}

    def _made(self, rows: np.ndarray) -> dict[str, jax.Array]:
        rows = np.asarray(rows, np.uint32)
        return _program(self.modalities, self.shapes, self.key, rows, np.float32(self.alignment_strength))

    def _copy(self, modality: str, rows: np.ndarray) -> jax.Array:
        return _copies(modality, self.key, np.asarray(rows, np.uint32), np.float32(self.alignment_strength))[1]


@partial(jax.jit, static_argnums=(0, 1))
def _program(modalities: tuple[str, ...], shapes: Shapes, key: jax.Array, rows: jax.Array, strength: jax.Array):
    made = {name: render(name, _copies(name, key, rows, strength)[1], shapes) for name in modalities}
    return made | {"latent": _copies("", key, rows, strength)[0]}


@partial(jax.jit, static_argnums=0)
def _copies(modality: str, key: jax.Array, rows: jax.Array, strength: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The latents of some rows, and what `modality` has of them."""

    def one(row: jax.Array):
        own = jax.random.fold_in(key, row)
        latent = jax.random.normal(named(own, "latent"), (DIMENSIONS,))
        return latent, copies(latent, strength, modality, own)

    return jax.vmap(one)(rows)
