"""Modality dropout for training loops: which rows keep which modality."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Bool

from sensorium.core.errors import UnknownName, nearest
from sensorium.core.randomness import key_of, named
from sensorium.fusions import surviving
from sensorium.multi_modal.fuse_arguments import Masks
from sensorium.multi_modal.fuse_inputs import Randomness


@dataclass(frozen=True)
class ModalityDropout:
    """Drops whole modalities of training rows, each with probability `rate`, but never the last that a row has.

    It makes masks and touches no data: a dropped modality is absent, as if it had never been there, and not zeros.
    """

    rate: float = 0.3

    def __post_init__(self):
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate={self.rate}: give a share from 0 to 1")

    def __call__(
        self, modalities: Mapping[str, Any], *, masks: Masks = None, key: Randomness = None, deterministic: bool = False
    ) -> dict[str, Bool[jax.Array, "..."]]:
        """Masks for the `masks=` of any fusion here: Bool `(B,)`, or `(B, L)` where `masks` has a token mask.

        `modalities` are arrays with rows first, by name, or `None`; `masks` says what is missing already. A new `key` (a key, a
        seed, an nnx.Rngs) is a new draw; under `jit` pass a key. `deterministic=True` drops nothing.
        """
        arrays = {name: jnp.asarray(x) for name, x in modalities.items() if x is not None}
        if unknown := [name for name in masks or {} if name not in modalities]:
            raise UnknownName(f"a mask for {unknown[0]!r}, which is not among the modalities.{nearest(unknown[0], modalities)}")
        if not arrays or len({x.shape[:1] for x in arrays.values()}) > 1 or any(x.ndim < 2 for x in arrays.values()):
            shapes = {name: x.shape for name, x in arrays.items()}
            raise ValueError(f"modality dropout takes batches, rows first, of equal numbers of rows; it got {shapes}")
        if not deterministic and self.rate > 0 and key is None:
            raise ValueError(f"a modality dropout of {self.rate} needs randomness: pass key=…, or deterministic=True")
        rows = len(next(iter(arrays.values())))
        known = {name: _mask(name, (masks or {}).get(name), rows) for name in arrays}
        here = jnp.stack([mask.any(axis=tuple(range(1, mask.ndim))) for mask in known.values()], axis=1)
        if not deterministic and self.rate > 0 and key is not None:
            here = surviving(here, self.rate, named(key_of(key), "modality dropout"))
        return {name: mask & here[:, i].reshape(rows, *[1] * (mask.ndim - 1)) for i, (name, mask) in enumerate(known.items())}


def _mask(name: str, mask: Any, rows: int) -> Bool[jax.Array, "..."]:
    if mask is None:
        return jnp.ones(rows, bool)
    mask = jnp.asarray(mask)
    if mask.dtype != bool or mask.ndim not in (1, 2) or len(mask) != rows:
        raise ValueError(f"the mask of {name!r} is {mask.dtype}{mask.shape}, where bool({rows},) or bool({rows}, L) is needed")
    return mask
