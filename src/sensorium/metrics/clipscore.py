"""CLIPScore: how well a caption fits its picture by the vectors of a model, with references or without (Hessel et al. 2021).

It is as good as the model that made the vectors, and tells nothing of a model that was trained to raise it. Numbers compare
between captions under one model; those of the paper are CLIP ViT-B/32's, of captions that begin with "A photo depicts".
"""

import numpy as np
from jaxtyping import Float, Int

from sensorium.metrics.retrieval import Unmeasurable

WEIGHT = 2.5
"""What the paper multiplies cosines by, which for CLIP lie between 0 and 0.4."""


def clip_score(
    images: Float[np.ndarray, "N D"], captions: Float[np.ndarray, "N D"], weight: float = WEIGHT
) -> Float[np.ndarray, " N"]:
    """CLIPScore of each pair of unit vectors: w · max(cos, 0)."""
    for name, x in (("image", images), ("caption", captions)):
        _unit(name, x)
    return weight * np.maximum(np.einsum("nd,nd->n", images, captions), 0)


def ref_clip_score(
    images: Float[np.ndarray, "N D"],
    captions: Float[np.ndarray, "N D"],
    references: Float[np.ndarray, "R D"],
    owners: Int[np.ndarray, " R"],
    weight: float = WEIGHT,
) -> Float[np.ndarray, " N"]:
    """RefCLIPScore of each pair: the harmonic mean of its CLIPScore and of max(cos, 0) of the caption with the nearest of its
    references. `owners`: the row that each reference belongs to; a row without one is `Unmeasurable`."""
    _unit("reference", references)
    if len(owners) and not 0 <= owners.min() <= owners.max() < len(images):
        raise ValueError(f"references of rows {owners.min()} to {owners.max()}, but there are {len(images)} pairs")
    if len(bare := np.setdiff1d(np.arange(len(images)), owners)):
        raise Unmeasurable(f"{len(bare)} of {len(images)} pairs have no reference, the first is pair {bare[0]}: leave them out")
    fits = clip_score(images, captions, weight)
    alike = np.zeros(len(images), fits.dtype)
    np.maximum.at(alike, owners, np.einsum("rd,rd->r", captions[owners], references))
    return 2 * fits * alike / np.maximum(fits + alike, np.finfo(fits.dtype).tiny)


def _unit(name: str, x: np.ndarray) -> None:
    lengths = np.linalg.norm(x, axis=1)
    if not (abs(lengths - 1) < 1e-2).all():
        row = int(np.flatnonzero(~(abs(lengths - 1) < 1e-2))[0])
        raise Unmeasurable(f"{name} vector {row} has length {lengths[row]:.4g}: CLIPScore needs unit vectors, as of `encode`")
