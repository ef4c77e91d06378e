"""Two spaces that both read texts joined into one, by texts alone (after Wang et al. 2023, C-MCR).

Connecting Multi-modal Contrastive Representations (Wang et al., NeurIPS 2023) maps both spaces to a new one. Here one of the two
stays as it is, so that vectors that were made with it stay good, and the other's fields reach it over a bridge.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Raw
from sensorium.losses import InfoNCE
from sensorium.losses.reduce import mean
from sensorium.metrics import retrieval
from sensorium.modalities.text import identity
from sensorium.models import Space
from sensorium.nn.bridge import Bridge
from sensorium.nn.norms import unit
from sensorium.pretrained.licence import Licence
from sensorium.pretrained.model_card import Origin
from sensorium.sensorium import Sensorium
from sensorium.training import Card, adamw, minimise
from sensorium.training.weights import arrays, filled

APART = 0.1
"""The share of the texts that the bridge is not made of, on which it is measured."""
NOISE = 0.5
"""The length of what is added to a vector of length 1 at random, so that the bridge carries not only texts but what lies near
them: the things of the other space (C-MCR, section 3.3)."""
SCALE = 20.0
"""What cosines are multiplied by in the contrast."""
NEAR = 0.05
"""The temperature by which a text takes the things of a space that are like it (C-MCR, section 3.3, equation 3)."""


class CannotJoin(SensoriumError, ValueError):
    """Two models that cannot be made one space."""


@dataclass(frozen=True)
class Joined:
    """What `join` gives: one model with the fields of both; and how well the bridge brings texts that it was not made of to
    themselves: `recall@1` among them, its `chance`, and the mean `cosine`."""

    sensorium: Sensorium
    metrics: dict[str, float]


def join(
    base: Sensorium,
    other: Sensorium,
    texts: Sequence[str],
    *,
    things: Mapping[str, list[Raw]] | None = None,
    via: str = "text",
    hidden: int = 0,
    steps: int = 2000,
    batch: int = 256,
    lr: float = 1e-3,
    noise: float = NOISE,
    seed: int = 0,
) -> Joined:
    """One space of two: the fields of `base` as they are, and those of `other` that it lacks, over a bridge.

    A CLIP (pictures and texts) and a CLAP (sounds and texts) become a space in which pictures and sounds find each other, though
    no pair of them was ever seen. Nothing of either changes. The bridge, from vectors of `other` to vectors of `base`, is linear,
    with a perceptron of `hidden` units beside it; it is trained on `texts` (thousands, of the kind that both models know), which
    the field `via` of both reads: a contrast, and the cosine, of each text's vector with what is made of its other vector and
    some `noise`.

    `things`: some things of a field of `other` (`{"audio": [...]}`), without pairs; texts then also are carried by the vectors of
    the things like them, which lie elsewhere than those of texts do (the modality gap). In the built-in world neither these nor
    a perceptron help, and noise does (benchmarks/join.py). `CannotJoin` where the models do not fit.
    """
    names = _joined_fields(base, other, via)
    said = list({identity(text): text for text in texts}.values())
    if len(said) < 16:
        raise CannotJoin(f"{len(said)} different texts: a bridge is made of hundreds or thousands of them")
    if min(steps, batch) < 1 or any(not raws for raws in (things or {}).values()):
        raise CannotJoin(f"steps={steps}, batch={batch}: expected 1 or more of each, and of things of each field that is named")
    here, there = base.encode(**{via: said})[via], other.encode(**{via: said})[via]
    rows = np.random.default_rng(seed).permutation(len(said))
    apart, learnt = np.split(rows, [max(4, int(APART * len(said)))])
    sources = [there[learnt]]
    for name, raws in (things or {}).items():
        sources.append(_like(there[learnt], other.encode(**{name: raws})[name]))
    bridge = _made(sources, here[learnt], hidden, steps, batch, lr, noise, seed)
    carried = np.asarray(unit(bridge(jnp.asarray(there[apart]))))
    found = retrieval(carried, here[apart], np.arange(len(apart)), np.arange(len(apart)), ks=(1,))
    metrics = {"recall@1": found["recall@1"], "chance": 1 / len(apart), "texts": float(len(said))}
    metrics["cosine"] = float(np.mean(np.sum(carried * here[apart], axis=1)))
    return Joined(_assembled(base, other, names, bridge, hidden), metrics)


def _joined_fields(base: Sensorium, other: Sensorium, via: str) -> list[str]:
    """The names of the fields of `other` that come to those of `base`."""
    for made in (base, other):
        if not isinstance(made.model, Space) or not made.supports(via):
            reads = ", ".join(made.modalities)
            raise CannotJoin(f"a {type(made.model).__name__} that reads {reads}: two spaces are joined that both read {via}")
    names = [name for name in other.modalities if name != via]
    if both := sorted(set(names) & set(base.modalities)):
        raise CannotJoin(f"both read {', '.join(both)}: of two towers for one field the joined space could keep only one")
    if not names:
        raise CannotJoin(f"the second reads {via} only: it has nothing to bring")
    return names


def _like(texts: Float[np.ndarray, "N D"], things: Float[np.ndarray, "M D"], rows: int = 1024) -> Float[np.ndarray, "N D"]:
    """For each text the mean of the things, weighed by how like it they are, at length 1."""
    out = []
    for start in range(0, len(texts), rows):
        logits = texts[start : start + rows] @ things.T / NEAR
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        out.append(shares / shares.sum(axis=1, keepdims=True) @ things)
    mixed = np.concatenate(out)
    return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)


def _made(
    sources: Sequence[Float[np.ndarray, "N E"]],
    targets: Float[np.ndarray, "N D"],
    hidden: int,
    steps: int,
    batch: int,
    lr: float,
    noise: float,
    seed: int,
) -> Bridge:
    """The bridge that brings row i of each source to row i of the targets."""
    width, to = sources[0].shape[1], targets.shape[1]
    bridge = Bridge(width, to, hidden, rngs=nnx.Rngs(seed))
    kernel, bias = _least_squares(np.concatenate(sources), np.tile(targets, (len(sources), 1)), noise)
    bridge.across.kernel[...], bridge.across.bias[...] = jnp.asarray(kernel), jnp.asarray(bias)  # type: ignore[index]
    contrast = InfoNCE("carried", "meant")

    def objective(bridge: Bridge, rows: dict[str, jax.Array], key: jax.Array, updates: jax.Array) -> tuple[jax.Array, dict]:
        x = rows["x"] + noise * width**-0.5 * jax.random.normal(key, rows["x"].shape)
        units = {"carried/unit": unit(bridge(unit(x))), "meant/unit": rows["y"], "scale": jnp.float32(SCALE)}
        cosine = jnp.mean(jnp.sum(units["carried/unit"] * rows["y"], axis=1))
        return mean(contrast(units, rows)) + 1 - cosine, {"cosine": cosine}

    rows = _rows(sources, targets, min(batch, len(targets)), seed)
    minimise(bridge, objective, rows, adamw(lr, steps), steps, seed=seed)  # type: ignore[arg-type]
    return bridge


def _least_squares(
    x: Float[np.ndarray, "N E"], y: Float[np.ndarray, "N D"], noise: float
) -> tuple[Float[np.ndarray, "E D"], Float[np.ndarray, " D"]]:
    """The linear map, and its bias, with the least squared error over all noise that is added to x: where the contrast starts."""
    mx, my = x.mean(axis=0), y.mean(axis=0)
    a, b = (x - mx).astype(np.float64), (y - my).astype(np.float64)
    square = a.T @ a + np.eye(x.shape[1]) * max(noise**2 / x.shape[1], 1e-6) * len(x)
    kernel = np.linalg.solve(square, a.T @ b)
    return kernel.astype(np.float32), (my - mx @ kernel).astype(np.float32)


def _rows(
    sources: Sequence[Float[np.ndarray, "N E"]], targets: Float[np.ndarray, "N D"], batch: int, seed: int
) -> Iterator[dict[str, np.ndarray]]:
    """Batches without end: of each text its vector in one of the sources, and the one that is meant."""
    rng = np.random.default_rng([seed, 1])
    held = np.stack(sources)
    while True:
        order = rng.permutation(len(targets))
        for start in range(0, len(order) - batch + 1, batch):
            rows = order[start : start + batch]
            yield {"x": held[rng.integers(len(held), size=batch), rows], "y": targets[rows]}


def _assembled(base: Sensorium, other: Sensorium, names: Sequence[str], bridge: Bridge, hidden: int) -> Sensorium:
    ours, theirs = dict(base.card.arguments), other.card.arguments
    bare = theirs.get("bare", ())
    encoders, own = dict(ours["encoders"]), int(theirs["width"])
    held = arrays(base.model)
    before, across = arrays(other.model), arrays(bridge)
    for name in names:
        projected = {"projected": name not in bare, "between": theirs.get("between")}
        inner = {"inner": dict(theirs["encoders"][name]), "own": own, "to": int(ours["width"]), **projected, "hidden": hidden}
        encoders[name] = {"encoder": "bridged", **inner}
        here = f"encoders.{name}."
        held |= {f"{here}bridge.{key}": x for key, x in across.items()}
        for key, x in before.items():
            if key.startswith(here):
                held[f"{here}inner.{key.removeprefix(here)}"] = x
            elif key.startswith(f"projections.{name}."):
                held[f"{here}projection.{key.removeprefix(f'projections.{name}.')}"] = x
    card = Card("space", ours | {"encoders": encoders, "bare": [*ours.get("bare", ()), *names]})
    model = filled(card.shapes(), held)
    assert isinstance(model, Space)
    fields = tuple(field for field in other.fields if field.name in names)
    made = Sensorium(model, (*base.fields, *fields), card)
    made.origin = Origin(licence=_licence(base.origin.licence, other.origin.licence))
    return made


def _licence(one: Licence, another: Licence) -> Licence:
    """That of what is made of two models: theirs where it is the same, else one that forbids commercial use, else none, so that
    whoever publishes it has to say."""
    strict = next((licence for licence in (one, another) if not licence.commercial), Licence())
    return one if one == another else strict
