"""Optimizers by name, all with the same dials: rate, schedule, decay, clipping, rates by depth and by name.

Each is a chain of five parts: hold the gradient's norm, make a direction of it (what tells one optimizer from another), add
the decay of weights, multiply by the rate of now, and by each parameter's own share of it. Parameters come as a flat dict by
dotted name (or any tree that jax can walk), always as f32: the master weights, whatever the model computes in.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from sensorium.core.table import Table
from sensorium.optim.muon import momentum_made_orthogonal
from sensorium.optim.names import by_depth, by_pattern, map_named, matches, named
from sensorium.optim.schedules import rates as schedule_of

TABLES = ("*position", "*positions", "*place", "*table", "*embeddings.*", "*latents", "*questions", "*.first", "*.distance")
"""Names of parameters that are read row by row and not multiplied with: they do not decay, and Muon leaves them to AdamW."""
LIKE_ADAM = 0.2
"""The root mean square of a Muon update, about AdamW's, so that both take the same rate (Liu et al. 2025, section 2.2)."""


def optimizer(
    name: str,
    lr: float,
    steps: int,
    *,
    warmup: int | None = None,
    schedule: str = "cosine",
    weight_decay: float = 0.0,
    clip: float | None = None,
    layer_decay: float | None = None,
    rates: Mapping[str, float] | None = None,
    plain: Sequence[str] = (),
) -> optax.GradientTransformation:
    """One of `OPTIMIZERS` for a run of `steps` updates, with the learning rate `lr` at its highest.

    `warmup`, `schedule`: see `schedules.rates`. `weight_decay` is decoupled (times the rate) and takes matrices only, no
    biases, no tables (`TABLES`). `clip`: the most that the norm of the whole gradient may be. `layer_decay`: see
    `names.by_depth`. `rates={"encoders.image.*": 0.1}`: shares of the rate by pattern, the first that a name has; 0 stands
    still. A pattern that no name has, and parameters that are not f32, are a `ValueError` at `init`. `plain`: patterns of what
    moves by AdamW's direction, whatever the rest does.
    """
    dials = {"warmup": warmup, "schedule": schedule, "weight_decay": weight_decay, "clip": clip}
    direction = OPTIMIZERS[name]()
    if plain:
        parts: dict[Hashable, optax.GradientTransformation] = {"own": direction, "plain": adam()}
        direction = optax.partition(parts, lambda params: map_named(lambda n, _: "plain" if matches(n, plain) else "own", params))
    return _chain(direction, lr, steps, **dials, layer_decay=layer_decay, rates=rates)


def adamw(
    lr: float, steps: int, *, warmup: int | None = None, weight_decay: float = 0.0, b2: float = 0.98
) -> optax.GradientTransformation:
    """AdamW (Loshchilov & Hutter 2019) with a linear warm-up and a cosine decay to a hundredth; only matrices decay."""
    return _chain(adam(b2=b2), lr, steps, warmup=warmup, weight_decay=weight_decay)


def _chain(
    direction: optax.GradientTransformation,
    lr: float,
    steps: int,
    *,
    warmup: int | None,
    weight_decay: float,
    schedule: str = "cosine",
    clip: float | None = None,
    layer_decay: float | None = None,
    rates: Mapping[str, float] | None = None,
) -> optax.GradientTransformation:
    if clip is not None and not clip > 0:
        raise ValueError(f"clip={clip}: expected the most that the gradient's norm may be, above 0, or none")
    rate = schedule_of(lr, steps, warmup, schedule)
    parts = [hold_norm(clip)] if clip is not None else []
    parts += [direction]
    parts += [optax.add_decayed_weights(weight_decay, mask=_decays)] if weight_decay else []
    parts += [optax.scale_by_schedule(lambda count: -rate(jnp.asarray(count))), _shares(layer_decay, rates or {})]
    return optax.chain(*parts)


def hold_norm(most: float) -> optax.GradientTransformation:
    """Scales the gradient down to a norm of `most` where it is longer (Pascanu et al. 2013, algorithm 1).

    The squares are of the gradient divided by its greatest entry, so that they overflow for no finite gradient (optax's own
    clip makes 0 of one of 3e19). A gradient that is not finite goes through as it is: its NaN or Inf stays where it arose, for
    whoever looks for it, where a division by the norm would have spread it over all parameters.
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, optax.EmptyState]:
        del params
        greatest = jnp.max(jnp.stack([jnp.max(jnp.abs(g), initial=0.0) for g in jax.tree.leaves(updates)]))
        divisor = jnp.clip(greatest, jnp.finfo(jnp.float32).tiny, 1e37)  # XLA multiplies by 1 / divisor, 0 for one of 3e38
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(g / divisor)) for g in jax.tree.leaves(updates)))
        long = jnp.isfinite(greatest) & (norm > most / divisor)
        # (g / divisor) first: most / (norm × divisor) would underflow where the gradient is great.
        return jax.tree.map(lambda g: jnp.where(long, (g / divisor) * (most / norm), g), updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


class AdamMemory(NamedTuple):
    counts: Int[Array, " parameters"]
    """How many gradients each parameter has had, from its first that was not 0 everywhere."""
    mean: Any
    square: Any


def adam(b1: float = 0.9, b2: float = 0.98, eps: float = 1e-8) -> optax.GradientTransformation:
    """The direction of Adam (Kingma & Ba 2015, algorithm 1), its bias correction counted for each parameter by itself.

    The count of a parameter starts with its first gradient that is not 0: one that thaws at step 200, or whose modality first
    comes then, is corrected as if the run began there. With one count for all, as in optax, its first updates would be up to
    √(1 / (1 − b2)) times too long.
    """

    def init(params: Any) -> AdamMemory:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return AdamMemory(jnp.zeros(len(jax.tree.leaves(params)), jnp.int32), zeros, jax.tree.map(jnp.copy, zeros))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, AdamMemory]:
        del params
        leaves, tree = jax.tree.flatten(updates)
        if not leaves:  # a part of the parameters that none belongs to
            return updates, state
        moved = jnp.stack([jnp.any(g != 0) for g in leaves])
        counts = state.counts + ((state.counts > 0) | moved).astype(jnp.int32)
        mean = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mean, updates)
        square = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * jnp.square(g), state.square, updates)
        seen = jnp.maximum(counts, 1).astype(jnp.float32)  # 0 / 0 before the first
        first, second = 1 - b1**seen, 1 - b2**seen
        numbers = jax.tree.unflatten(tree, range(len(leaves)))
        out = jax.tree.map(lambda i, m, v: (m / first[i]) / (jnp.sqrt(v / second[i]) + eps), numbers, mean, square)
        return out, AdamMemory(counts, mean, square)

    return optax.GradientTransformation(init, update)


def muon() -> optax.GradientTransformation:
    """Momentum made orthogonal (Jordan et al. 2024) for matrices that are multiplied with; AdamW's direction for all else."""
    as_adam = optax.stateless(lambda updates, params: jax.tree.map(_like_adam, updates))
    matrices = optax.chain(momentum_made_orthogonal(), as_adam)
    return optax.partition({"matrix": matrices, "other": adam()}, lambda params: map_named(_kind, params))


def adafactor() -> optax.GradientTransformation:
    """Second moments as a row and a column of each great matrix, and no first ones: next to no memory (Shazeer & Stern 2018).

    Updates are held to a root mean square of 1 and are not scaled by the parameter's, so that rates compare with AdamW's.
    """
    return optax.chain(optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0))


OPTIMIZERS: Table[Callable[[], optax.GradientTransformation]] = Table(
    "optimizer",
    {
        "adamw": adam,
        "lion": optax.scale_by_lion,  # the sign of a momentum (Chen et al. 2023): a third to a tenth of AdamW's rate
        "adafactor": adafactor,
        "muon": muon,
        "sgd": lambda: optax.trace(decay=0.9),  # with momentum
    },
)


def _kind(name: str, x: Any) -> str:
    return "matrix" if x.ndim == 2 and not matches(name, TABLES) else "other"


def _like_adam(update: Float[Array, "I O"]) -> Float[Array, "I O"]:
    """An orthogonal matrix, whose root mean square is 1 / √(its longer side), to `LIKE_ADAM`."""
    return LIKE_ADAM * math.sqrt(max(update.shape)) * update


def _decays(params: Any) -> Any:
    return map_named(lambda name, x: x.ndim > 1 and not matches(name, TABLES), params)


def _shares(layer_decay: float | None, rates: Mapping[str, float]) -> optax.GradientTransformation:
    """Multiplies every update by its parameter's own share of the rate; checks at `init` what can be known only then."""

    def init(params: Any) -> optax.EmptyState:
        if wrong := sorted(f"{name} {x.dtype}" for name, x in named(params).items() if x.dtype != jnp.float32):
            raise ValueError(f"an optimizer updates master weights in f32; got {', '.join(wrong[:8])}")
        shares(list(named(params)), layer_decay, rates)
        return optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, optax.EmptyState]:
        del params
        if layer_decay is None and not rates:
            return updates, state
        share = shares(list(named(updates)), layer_decay, rates)
        return map_named(lambda name, u: u * share[name], updates), state

    return optax.GradientTransformation(init, update)


def shares(names: list[str], layer_decay: float | None = None, rates: Mapping[str, float] | None = None) -> dict[str, float]:
    """The share of the learning rate that each parameter gets: by depth, times by pattern."""
    depth = dict.fromkeys(names, 1.0) if layer_decay is None else by_depth(names, layer_decay)
    pattern = by_pattern(names, rates or {})
    return {name: depth[name] * pattern[name] for name in names}
