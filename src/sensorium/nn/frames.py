"""Frames of a clip: which of them to look at, when they stand, and what was heard at that time."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

SAMPLINGS = ("uniform", "segment", "random")


def sample_frames(
    mask: Bool[jax.Array, "B T"], frames: int, sampling: str = "uniform", key: jax.Array | None = None
) -> tuple[Int[jax.Array, "B K"], Bool[jax.Array, "B K"]]:
    """Chooses `frames` of the frames that `mask` keeps: their numbers, in order, and which of them there are.

    A row with no more frames than are asked for keeps each of them once; the rest is masked (number 0). A longer row of n:

    - "uniform": from the first to the last in equal steps, frame round(i·(n − 1) / (frames − 1));
    - "segment": one of each of `frames` equal segments (Wang et al. 2016, TSN, section 3): its middle, or with a key any of it;
    - "random": any of them without repetition, which needs a key.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling={sampling!r}: expected one of {', '.join(SAMPLINGS)}")
    if frames < 1:
        raise ValueError(f"frames={frames}: expected 1 or more")
    if sampling == "random" and key is None:
        raise ValueError("sampling='random' without a key: pass key=…, or take sampling='uniform'")
    count = jnp.sum(mask, axis=1, dtype=jnp.int32)[:, None]
    slot = jnp.arange(frames)[None]
    if sampling == "uniform":
        place = _uniform(count, slot, frames)
    elif sampling == "segment":
        place = _segment(count, slot, frames, key)
    else:
        place = _random(count, mask.shape, frames, key)
    place = jnp.where(count > frames, place, slot)
    kept = slot < count
    in_order = jnp.argsort(~mask, axis=1, stable=True)  # the frames that are there come first, in their order
    index = jnp.take_along_axis(in_order, jnp.clip(place, 0, mask.shape[1] - 1), axis=1)
    return jnp.where(kept, index, 0), kept


def _uniform(count: Int[jax.Array, "B 1"], slot: Int[jax.Array, "1 K"], frames: int) -> Int[jax.Array, "B K"]:
    if frames == 1:
        return (count - 1) // 2
    return (2 * slot * (count - 1) + frames - 1) // (2 * (frames - 1))  # in integers, so that halves round up everywhere


def _segment(
    count: Int[jax.Array, "B 1"], slot: Int[jax.Array, "1 K"], frames: int, key: jax.Array | None
) -> Int[jax.Array, "B K"]:
    if key is None:
        return (2 * slot + 1) * count // (2 * frames)
    start, end = slot * count // frames, (slot + 1) * count // frames
    share = jax.random.uniform(key, start.shape)
    return start + jnp.floor(share * (end - start).astype(jnp.float32)).astype(jnp.int32)


def _random(count: Int[jax.Array, "B 1"], shape: tuple[int, ...], frames: int, key: jax.Array | None) -> Int[jax.Array, "B K"]:
    assert key is not None
    lots = jax.random.uniform(key, shape)
    lots = jnp.where(jnp.arange(shape[1])[None] < count, lots, 2.0)  # places past the last frame are drawn last
    drawn = jnp.sort(jnp.argsort(lots, axis=1)[:, :frames], axis=1)
    return jnp.pad(drawn, ((0, 0), (0, frames - drawn.shape[1])))


def time_waves(
    times: Float[jax.Array, "B T"], width: int, shortest: float = 0.1, longest: float = 100.0
) -> Float[jax.Array, "B T D"]:
    """Times in seconds as sines, then cosines, of periods from `shortest` to `longest` seconds, in equal ratios."""
    if width < 4 or width % 2:
        raise ValueError(f"time waves of width {width}: expected an even width of 4 or more, a sine and a cosine for each period")
    periods = np.geomspace(shortest, longest, width // 2)
    angles = times[:, :, None] * jnp.asarray(2 * math.pi / periods, jnp.float32)[None, None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def at_times(
    tokens: Float[jax.Array, "B L D"],
    mask: Bool[jax.Array, "B L"],
    token_times: Float[jax.Array, " L"],
    times: Float[jax.Array, "B T"],
    within: float,
) -> tuple[Float[jax.Array, "B T D"], Bool[jax.Array, "B T"]]:
    """The unmasked token nearest to each time, so that a sound and the frames of a clip can be laid side by side.

    Times are in seconds on one clock. Where no token stands within `within` seconds the result is 0 and its mask False.
    """
    distance = jnp.abs(times[:, :, None] - token_times[None, None])
    distance = jnp.where(mask[:, None, :], distance, jnp.inf)
    nearest = jnp.argmin(distance, axis=-1)
    found = jnp.min(distance, axis=-1) <= within
    chosen = jnp.take_along_axis(tokens, nearest[:, :, None], axis=1)
    return jnp.where(found[:, :, None], chosen, 0.0), found
