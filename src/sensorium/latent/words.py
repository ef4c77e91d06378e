"""Texts from a latent: a small language in which the place of a word says what it is about, and endings agree.

The word at position j tells the coordinate j mod 32: its stem is one of a few levels, from lowest to highest, equally
frequent. Its ending repeats the stems of the words before it, as agreement does in many languages, so that almost all of the
vocabulary is used and a shuffled sentence is no sentence. From the second round on coordinates are told on a grid of one
level less, which makes them known more finely. The last token is `END`.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from sensorium.latent.copies import DIMENSIONS

PAD, END, FIRST = 0, 1, 2
LEVELS, ENDINGS = 9, 3
SYLLABLES = ("ba", "de", "fi", "go", "ku", "la", "me", "ni", "po")


@dataclass(frozen=True)
class Language:
    """`vocabulary` ids (0 pads, 1 ends, words from 2) and sentences of `length` ids, the last one the end."""

    vocabulary: int = 1000
    length: int = 50

    def __post_init__(self):
        if self.vocabulary < FIRST + LEVELS:
            raise ValueError(
                f"text_vocab_size={self.vocabulary}: expected at least {FIRST + LEVELS}, for {LEVELS} words beside pad and end"
            )
        if self.length < 2:
            raise ValueError(f"text_sequence_length={self.length}: expected at least 2, a word and the end")

    @property
    def endings(self) -> int:
        """How many of the words before it a word agrees with."""
        return min(ENDINGS, int(math.log(self.vocabulary - FIRST, LEVELS) + 1e-9) - 1)

    @property
    def words(self) -> int:
        """Words in a sentence."""
        return self.length - 1

    @property
    def told(self) -> int:
        """How many of the 32 coordinates a sentence tells."""
        return min(self.words, DIMENSIONS)

    @staticmethod
    def grid(round: int) -> int:
        """Levels in a round: the odd ones have one less."""
        return LEVELS - round % 2

    def say(self, coordinates: Float[jax.Array, "*B 32"]) -> Int[jax.Array, "*B L"]:
        """Token ids of the coordinates of a copy."""
        place = np.arange(self.words)
        grid = np.broadcast_to([self.grid(j // DIMENSIONS) for j in place.tolist()], (*coordinates.shape[:-1], self.words))
        quantile = jax.scipy.stats.norm.cdf(coordinates[..., place % DIMENSIONS])
        stems = jnp.minimum((quantile * grid.astype(np.float32)).astype(jnp.int32), grid.astype(np.int32) - 1)
        ids = jnp.zeros_like(stems)
        for back in range(self.endings + 1):
            before = jnp.pad(stems, [(0, 0)] * (stems.ndim - 1) + [(back, 0)])[..., : self.words]
            ids = ids * LEVELS + before
        end = jnp.full((*ids.shape[:-1], 1), END, jnp.int32)
        return jnp.concatenate([FIRST + ids, end], axis=-1)

    def stems(self, text: Int[np.ndarray, "*B L"]) -> Int[np.ndarray, "*B words"]:
        """The level that each word tells; −1 where there is no word of this language."""
        ids = np.asarray(text)[..., : self.words] - FIRST
        return np.where((ids >= 0) & (ids < LEVELS ** (self.endings + 1)), ids // LEVELS**self.endings, -1)

    def grammatical(self, text: Int[np.ndarray, "*B L"]) -> Bool[np.ndarray, "*B"]:
        """Whether it is a sentence: words to the last but one place, all endings in agreement, then the end."""
        text = np.asarray(text)
        stems, ids = self.stems(text), text[..., : self.words] - FIRST
        right = (stems >= 0).all(-1) & (text[..., -1] == END)
        for back in range(1, self.endings + 1):
            before = np.concatenate([np.zeros_like(stems[..., :back]), stems[..., :-back]], axis=-1)[..., : self.words]
            right &= (ids // LEVELS ** (self.endings - back) % LEVELS == before).all(-1)
        return right

    def spell(self, text: Int[np.ndarray, " L"]) -> str:
        """A sentence that can be read aloud: a stem and an ending a word."""
        powers = LEVELS ** np.arange(self.endings, -1, -1)
        spelled = []
        for id in np.asarray(text).tolist():
            if id >= FIRST + powers[0] * LEVELS:
                raise ValueError(f"the id {id} is no word of this language, whose last one is {FIRST + powers[0] * LEVELS - 1}")
            if id >= FIRST:
                spelled.append("".join(SYLLABLES[digit] for digit in ((id - FIRST) // powers % LEVELS).tolist()))
        return " ".join(spelled) + "." * (END in text)
