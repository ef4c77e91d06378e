"""The two fusions without parameters: raw arrays side by side, and embeddings averaged or side by side."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Bool, Float, Int, Num

from sensorium.core.errors import UnknownName, nearest
from sensorium.fusions.weighing import renormalised, weighed
from sensorium.multi_modal.fuse_arguments import Features, Masks, by_field, check_feature, field_of
from sensorium.multi_modal.fuse_inputs import encodings, formed, row_mask
from sensorium.nn.norms import rms_norm, unit
from sensorium.nn.sizes import flat

Raw = Num[jax.Array, "..."] | Num[np.ndarray, "..."] | None
RANKS = {"image": 3, "text": 1, "audio": 1, "video": 4, "sensor": 2}
"""Of one sample, without the row axis."""
GUIDE = ("image", "text", "audio")
MODES = ("weighted", "mean", "concat")


def early_fusion(
    image: Raw = None,
    text: Raw = None,
    audio: Raw = None,
    *,
    batched: bool | None = None,
    masks: Masks = None,
    text_width: int = 32,
    pad_id: int | None = 0,
    deterministic: bool | None = None,
    **more: Raw,
) -> Float[jax.Array, " D"] | Float[jax.Array, "B D"]:
    """Raw modalities as one flat vector, or one a row: a block for each, standardised, and each of the same energy.

    A block of pixels, samples or readings has mean 0, and is then divided by its length, so that every block has length 1 and
    19,000 samples count no more than 50 words. Signed integers are token ids: each becomes `text_width` cosines and sines
    that are of one length for every id (`id_codes`), and zeros for `pad_id`. A block that is constant is zeros.

    The blocks stand in the order image, text, audio, video, sensor, then by name. `None` leaves a block out and changes no
    other; a row that `masks` says is missing (Bool `(B,)`) has zeros there. A batch is known by the ranks of image `(H, W, C)`,
    text `(L,)`, audio `(N,)`, video `(T, H, W, C)` and sensor `(T, C)`; with other names only, say `batched=`. Nothing is
    dropped out here: `deterministic` is taken, as by the other fusions, and changes nothing.
    """
    given = {"image": image, "text": text, "audio": audio, **more}
    for name, x in more.items():
        check_feature(name, x)
    arrays = {name: jnp.asarray(x) for name, x in given.items() if x is not None}
    if not arrays:
        raise ValueError("nothing to fuse: give one modality at least")
    one = not _batched(arrays, batched)
    arrays = {name: x[None] if one else x for name, x in arrays.items()}
    if len({len(x) for x in arrays.values()}) > 1:
        raise ValueError(f"the numbers of rows differ: { {name: x.shape for name, x in arrays.items()} }")
    if unknown := [name for name in masks or {} if name not in (*arrays, *GUIDE)]:
        raise UnknownName(f"a mask for {unknown[0]!r}, which was not given.{nearest(unknown[0], arrays)}")
    order = [name for name in RANKS if name in arrays] + sorted(set(arrays) - set(RANKS))
    blocks = [_block(name, arrays[name], (masks or {}).get(name), one, text_width, pad_id) for name in order]
    return formed(jnp.concatenate(blocks, axis=1), one)


def late_fusion(
    image_embedding: Features = None,
    text_embedding: Features = None,
    audio_embedding: Features = None,
    mode: str = "weighted",
    weights: Mapping[str, Any] | Sequence[float] | Float[jax.Array, " M"] | Float[np.ndarray, " M"] | None = None,
    *,
    masks: Masks = None,
    deterministic: bool | None = None,
    **more: Features,
) -> Float[jax.Array, " D"] | Float[jax.Array, "B D"]:
    """Embeddings of several modalities as one, each brought to length 1 first: `(D,)` or `(B, D)` of each.

    `mode="weighted"` is the sum weighted by `weights` (by name, or one for each modality in order; equal ones if None),
    `"mean"` the sum with equal weights: both `(D,)`, with the weights renormalised over the modalities that a row has.
    `"concat"` is `(M·D,)`, the embeddings side by side, where `None` leaves a block out and a masked row has zeros.
    Missing: `None`, or Bool `(B,)` in `masks`. Further modalities by name (`video=…`), after the three. Nothing is dropped out
    here: `deterministic` is taken, as by the other fusions, and changes nothing.
    """
    if mode not in MODES:
        raise UnknownName(f"no mode of late fusion is called {mode!r}.{nearest(mode, MODES)}")
    if weights is not None and mode != "weighted":
        raise ValueError(f'weights with mode="{mode}": they go with mode="weighted"')
    three = {"image_embedding": image_embedding, "text_embedding": text_embedding, "audio_embedding": audio_embedding}
    slots = (*GUIDE, *(name for name in more if field_of(name, GUIDE) is None))
    given = by_field(slots, (), {name: x for name, x in three.items() if x is not None} | more)
    widths = {name: np.shape(x)[-1] if np.ndim(x) else 1 for name, x in given.items()}
    if mode != "concat" and len(set(widths.values())) > 1:
        raise ValueError(f'embeddings of different widths {widths}: project them first (MultiModalProjector), or mode="concat"')
    masks = {name: mask for name, mask in (masks or {}).items() if name not in slots or name in given}
    inputs, one = encodings(widths, given, masks)
    units = [unit(x.pooled) for x in inputs.values()]
    if mode == "concat":
        return formed(jnp.concatenate(units, axis=1), one)
    here = jnp.stack([x.mask.any(axis=1) for x in inputs.values()], axis=1)
    return formed(weighed(jnp.stack(units, axis=1), renormalised(_weights(weights, slots, tuple(given)), here)), one)


def id_codes(ids: Int[jax.Array, "..."], width: int) -> Float[jax.Array, "... D"]:
    """Every id as cosines and sines of length 1, close to right angles to each other id's, near and far ones alike.

    cos(2π·id·√p) and sin(2π·id·√p) for the first `width`/2 primes p: the frequencies have no common period, so that no two
    ids meet (a Fourier feature map, Rahimi & Recht 2007, with Richtmyer's sequence for the draws).
    """
    if width < 2 or width % 2:
        raise ValueError(f"a width of {width}: codes come as pairs of a cosine and a sine, so give an even number")
    turns = np.sqrt(_primes(width // 2)) % 1.0
    angles = 2 * math.pi * ((ids[..., None].astype(jnp.float32) * turns.astype(np.float32).reshape(*[1] * ids.ndim, -1)) % 1.0)
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1) / math.sqrt(width // 2)


def _batched(arrays: Mapping[str, jax.Array], batched: bool | None) -> bool:
    """Whether the arrays have a row axis, by the ranks of those whose rank is known, or as the caller says."""
    told = {}
    for name, x in arrays.items():
        if name in RANKS:
            if x.ndim not in (RANKS[name], RANKS[name] + 1):
                raise ValueError(
                    f"{name!r} has the shape {x.shape}: {RANKS[name]} axes are one sample, {RANKS[name] + 1} a batch"
                )
            told[name] = x.ndim > RANKS[name]
    answers = set(told.values()) | ({batched} if batched is not None else set())
    if len(answers) > 1:
        shapes = {name: x.shape for name, x in arrays.items()}
        raise ValueError(f"one sample or a batch? The shapes are {shapes}, batched={batched}")
    if not answers:
        raise ValueError(f"the ranks of {', '.join(arrays)} do not tell whether they are a batch: say batched=True or False")
    return answers.pop()


def _block(
    name: str, x: Num[jax.Array, "B ..."], mask: Any, one: bool, text_width: int, pad_id: int | None
) -> Float[jax.Array, "B D"]:
    """One modality of all rows, standardised, flat, each row of length 1, or zeros."""
    if not x.size and len(x):
        raise ValueError(f"{name!r} has the shape {x.shape}: there is nothing in it. Leave it out, or give None")
    if name in RANKS and name != "text" and jnp.issubdtype(x.dtype, jnp.signedinteger):
        raise ValueError(f"{name!r} is {x.dtype}, which here are token ids: divide by full scale (32768 for 16 bits), as floats")
    if jnp.issubdtype(x.dtype, jnp.signedinteger):
        codes = id_codes(x, text_width)
        codes = codes if pad_id is None else jnp.where((x != pad_id)[..., None], codes, 0.0)
        block = unit(flat(codes))
    elif name == "text":
        raise ValueError(f"'text' is {x.dtype}, where token ids (a signed integer) are needed")
    else:
        block = flat(x.astype(jnp.float32))
        block = block - jnp.mean(block, axis=1, keepdims=True)
        # With so small an eps a quiet sound counts as much as a loud one, and the rounding errors of a constant picture do not.
        block = rms_norm(block, eps=1e-10) / math.sqrt(block.shape[1])
    return block if mask is None else _masked(name, block, mask, one)


def _masked(name: str, block: Float[jax.Array, "B D"], mask: Any, one: bool) -> Float[jax.Array, "B D"]:
    here: Bool[jax.Array, " B"] = row_mask(name, mask, block.shape[:1], one)
    return jnp.where(here[:, None], block, 0.0)


def _weights(weights: Any, slots: tuple[str, ...], given: tuple[str, ...]) -> Float[jax.Array, " M"]:
    """The weights of the modalities that were given, in their order."""
    if weights is None:
        return jnp.ones(len(given))
    if isinstance(weights, Mapping):
        if unknown := [name for name in weights if name not in slots]:
            raise UnknownName(f"a weight for {unknown[0]!r}, which is no modality here.{nearest(unknown[0], slots)}")
        if without := [name for name in given if name not in weights]:
            raise ValueError(f"no weight for {', '.join(without)}")
        chosen = jnp.asarray([weights[name] for name in given], jnp.float32)
    else:
        names = slots if len(weights) == len(slots) else given
        if len(weights) != len(names):
            raise ValueError(f"{len(weights)} weights for the {len(given)} modalities {', '.join(given)}")
        chosen = jnp.asarray(weights, jnp.float32)[jnp.asarray([names.index(name) for name in given])]
    traced = isinstance(chosen, Tracer)  # inside a compiled function nobody can look
    if not traced and not bool((jnp.isfinite(chosen) & (chosen >= 0)).all() & chosen.any()):
        raise ValueError(f"weights {chosen.tolist()} for {', '.join(given)}: finite ones of 0 or more are needed, not all 0")
    return chosen


def _primes(count: int) -> np.ndarray:
    """The first `count` primes."""
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % p for p in found if p * p <= number):
            found.append(number)
        number += 1
    return np.array(found, np.float64)
