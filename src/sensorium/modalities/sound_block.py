"""A sound that is read piece by piece, wherever it comes from: files, sound tracks and arrays look the same from here on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Block = tuple[Float[np.ndarray, "N C"], bool]
"""Some samples, and whether they are there: False for the silence that fills a gap."""
BLOCK = 2**18
"""Numbers in a block, about: 1 MB of f32."""


@dataclass(frozen=True)
class Sound:
    """An open sound of `frames` samples a channel (as its header says) at `rate` Hz.

    `blocks(first, count)` gives up to `count` of them from `first` on, in order, no more than a block at a time.
    """

    rate: int
    frames: int
    channels: int
    blocks: Callable[[int, int], Iterator[Block]]


def of_array(x: Float[np.ndarray, "N C"], rate: int) -> Sound:
    """An array as a sound to be read."""

    def blocks(first: int, count: int) -> Iterator[Block]:
        step = max(1, BLOCK // x.shape[1])
        for at in range(first, min(first + count, len(x)), step):
            yield x[at : min(at + step, first + count)], True

    return Sound(rate, len(x), x.shape[1], blocks)


def gap(count: int, channels: int) -> Iterator[Block]:
    """Silence that stands for nothing."""
    step = max(1, BLOCK // channels)
    for at in range(0, count, step):
        yield np.zeros((min(step, count - at), channels), np.float32), False
