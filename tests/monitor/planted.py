"""Trainings of a few seconds, healthy ones and ones with a fault in them, and the records that they leave."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from sensorium.core.encoding import Encoding
from sensorium.losses import InfoNCE
from sensorium.losses.reduce import mean
from sensorium.models import Space
from sensorium.monitor.judge import Finding, Monitor
from sensorium.monitor.watch import of_outputs, of_update
from sensorium.nn.norms import unit

Batches = dict[str, np.ndarray]
WIDTHS = {"image": 12, "text": 8, "audio": 10}
LATENT = 4
STEPS = 300
Record = dict[str, float]
ADAM = optax.scale_by_adam(b2=0.98)


class Knob(nnx.Variable):
    """A number that is no parameter: faults are numbers, so that one compiled program trains all of them."""


FAULTS = ("stop", "mix", "shrink", "shift", "dead")


class Tower(nnx.Module):
    """Two layers, with a fault for each knob that is not 0."""

    def __init__(self, inputs: int, faults: Mapping[str, float], *, rngs: nnx.Rngs):
        self.first, self.second = nnx.Linear(inputs, 24, rngs=rngs), nnx.Linear(24, 12, rngs=rngs)
        self.knobs, self.pooled_width = Knob(jnp.array([faults.get(name, 0.0) for name in FAULTS], jnp.float32)), 12

    def __call__(self, x, mask=None) -> Encoding:
        stop, mix, shrink, shift, dead = self.knobs[...]
        hidden = jax.nn.relu(self.first(x) - dead * (jnp.arange(24) < 18).astype(jnp.float32)[None])
        pooled = self.second(hidden) * (1.0 - shrink) + shift
        pooled = pooled - mix * jnp.mean(pooled, axis=0, keepdims=True)
        pooled = (1.0 - stop) * pooled + stop * jax.lax.stop_gradient(pooled)
        return Encoding(pooled[:, None], jnp.ones((len(pooled), 1), bool), pooled)

    @classmethod
    def arguments(cls, field):
        return {}

    @classmethod
    def tiny(cls, rngs):
        return cls(3, {}, rngs=rngs), jnp.zeros((2, 3))


def model(
    fields: Sequence[str] = ("image", "text"), seed: int = 0, temperature: float = 0.07, **faults: Mapping[str, float]
) -> Space:
    rngs = nnx.Rngs(seed)
    towers = {name: Tower(WIDTHS[name], faults.get(name, {}), rngs=rngs) for name in fields}
    return Space(towers, 16, temperature, rngs=rngs)


def world(
    fields: Sequence[str] = ("image", "text"), rows: int = 32, steps: int = STEPS, seed: int = 0, noise: float = 0.1
) -> Batches:
    """f32[steps, rows, width] a field: each a view of its own of one latent, with some noise; no row comes twice."""
    draw, views = np.random.default_rng(seed), np.random.default_rng(17)
    latent = draw.normal(size=(steps, rows, LATENT))
    seen = {name: latent @ views.normal(size=(LATENT, width)) for name, width in WIDTHS.items()}
    made = {name: (seen[name] + noise * draw.normal(size=seen[name].shape)).astype(np.float32) for name in fields}
    return made | {f"{name}/here": np.ones((steps, rows), bool) for name in fields}


@partial(jax.jit, static_argnames=("graph", "names", "tree"))
def _run(graph, names, tree, leaves, rest, batches, exam, dials):
    pairs = list(combinations([x for x in WIDTHS if x in batches], 2))

    def measure(leaves, batch):
        outputs = nnx.merge(graph, jax.tree.unflatten(tree, leaves), rest)(batch)
        for name, sign in (("image", 1.0), ("text", -1.0)):
            aside = sign * dials["apart"] * jax.nn.one_hot(0, 16)
            outputs[f"{name}/unit"] = unit(outputs[f"{name}/unit"] + aside[None])
        losses = {f"{a}-{b}": InfoNCE(a, b)(outputs, batch) for a, b in pairs}
        return outputs, {name: mean(rows) for name, rows in losses.items()}

    def objective(leaves, batch):
        outputs, losses = measure(leaves, batch)
        loss = jnp.sum(dials["weights"] * jnp.stack(list(losses.values())))
        out = {"loss": loss, "scale": outputs["scale"]} | {f"loss/{name}": x for name, x in losses.items()}
        return loss, out | of_outputs(outputs, batch)

    def step(carry, batch):
        leaves, memory = carry
        (_, out), gradients = jax.value_and_grad(objective, has_aux=True)(leaves, batch)
        with jax.numpy_dtype_promotion("standard"):
            updates, memory = ADAM.update(gradients, memory)
        updates = [-dials["lr"] * x for x in jax.tree.leaves(updates)]
        named = [dict(zip(names, x, strict=True)) for x in (list(gradients), leaves, updates)]
        out |= of_update(*named)
        leaves = [a + b for a, b in zip(leaves, updates, strict=True)]
        at = names.index("log_scale")
        leaves[at] = jnp.minimum(leaves[at], jnp.log(dials["top"]))
        out["evaluation/loss"] = sum(measure(leaves, exam)[1].values(), jnp.zeros(()))
        return (leaves, memory), out

    with jax.numpy_dtype_promotion("standard"):
        memory = ADAM.init(leaves)
    return jax.lax.scan(step, (leaves, memory), batches)[1]


def records(
    space: Space,
    batches: Batches,
    lr: float = 1e-2,
    every: int = 10,
    weights: Sequence[float] | None = None,
    exam: Batches | None = None,
    top: float = 100.0,
    apart: float = 0.0,
) -> list[Record]:
    """Trains with Adam, every batch once; the mean of what every few steps tell, as `fit` logs it, and the loss on `exam`.

    `weights`: one a pair, in the order of `combinations(WIDTHS, 2)`; `top`: where the scale is clamped; `apart`: how far
    pictures and texts are pushed to opposite poles of the sphere.
    """
    graph, params, rest = nnx.split(space, nnx.Param, ...)
    leaves, tree = jax.tree.flatten(params)
    names = tuple(".".join(map(str, path)) for path, _ in nnx.to_flat_state(params))
    steps, rows = next(iter(batches.values())).shape[:2]
    fields = [name for name in WIDTHS if name in batches]
    exam = {name: x[0] for name, x in (exam or world(fields, rows, 1, 999)).items()}
    weights = [1.0] * len(list(combinations(fields, 2))) if weights is None else weights
    dials = {"lr": lr, "weights": weights, "top": top, "apart": apart}
    dials = {name: np.array(x, np.float32) for name, x in dials.items()}
    out = jax.device_get(_run(graph, names, tree, leaves, rest, batches, exam, dials))
    last = out.pop("evaluation/loss")[every - 1 :: every]
    means = {name: x.reshape(steps // every, every).mean(axis=1) for name, x in out.items()} | {"evaluation/loss": last}
    return [{"step": (i + 1) * every} | {name: float(x[i]) for name, x in means.items()} for i in range(steps // every)]


def told(history: Sequence[Mapping[str, float]], monitor: Monitor | None = None) -> list[Finding]:
    monitor = monitor or Monitor()
    return [finding for record in history for finding in monitor.see(record)]


def first(findings: Sequence[Finding]) -> dict[str, int]:
    """The step at which each kind was told first."""
    return {finding.kind: finding.step for finding in reversed(findings)}
