"""A linear probe: what a model that stays as it is knows of some labels, and a classifier made of it (Radford et al. 2021)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from sensorium.core.batch import pad, stack
from sensorium.core.encoding import encoded
from sensorium.core.errors import SensoriumError, UnknownName, nearest
from sensorium.core.protocols import Item, Modality, Raw
from sensorium.data import split
from sensorium.data.folder import opened
from sensorium.data.splits import place
from sensorium.metrics import wilson
from sensorium.models import Space
from sensorium.optim.logistic import Linear, best_penalty, logistic
from sensorium.sensorium import Sensorium
from sensorium.training import Card
from sensorium.training.weights import arrays, filled

ROWS = 32
"""Things that are encoded at a time."""
CHOOSING = 0.2
"""The share of the training items by which the penalty is chosen, where the source has no test split of its own."""
NATIVE = ("published_vit", "vit")
"""The encoder and the form whose own checkpoints classify by what they pool: labels become its own, so that transformers reads
them (ViTForImageClassification)."""


class NoLabels(SensoriumError):
    """The items have no labels that could be learned, or too few of them."""


@dataclass(frozen=True)
class Class:
    """How one class did among the items that were measured: of `items` that are of it `right` were called so; `said`: so many
    were called so in all; `trained`: items of it that were learned from."""

    label: str
    trained: int
    items: int
    right: int
    said: int


@dataclass(frozen=True)
class Probe:
    """What `probe` gives: the model with its labels (`sensorium.classify(things)`), its accuracy with the 95 % interval and
    chance (the share of the class that is most frequent in training), a row a class, the penalty that was chosen, the items on
    each side, and what was left out."""

    sensorium: Sensorium
    metrics: dict[str, float]
    classes: tuple[Class, ...]
    penalty: float
    items: dict[str, int]
    left_out: tuple[str, ...]


def probe(
    model: Sensorium,
    items: Sequence[Item],
    label: str | None = None,
    field: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Probe:
    """Learns the labels of some items from what the encoder of a field pools; nothing of the encoder changes.

    `label`: the metadata (a manifest's column) that holds the class; by default the folder that an item lies in. `field`: of the
    model, by default its first that is no text. Each thing is encoded once. Multinomial logistic regression goes to its optimum,
    with the L2 penalty that is best on items kept apart for that, and then on both together (Radford et al. 2021, section A.3).
    It is measured on the test split where the source has one, else on the validation split; neither is learned from.
    `NoLabels` where there are none, or too few. `items` with broken files: leave them out first (`data.check(…).good`).
    """
    chosen = chosen_field(model, field)
    labelled, left_out = _labelled(items, label, chosen)
    sides, names = _sides(labelled, left_out)
    x = {side: features(model, chosen, [item.raws[chosen.kind][0] for item, _ in rows], progress) for side, rows in sides.items()}
    y = {side: np.array([names.index(name) for _, name in rows], np.int64) for side, rows in sides.items()}
    penalty, near = best_penalty(x["train"], y["train"], len(names), x["choosing"], y["choosing"])
    both = np.concatenate([x["train"], x["choosing"]]), np.concatenate([y["train"], y["choosing"]])
    found = logistic(*both, len(names), penalty, near)
    said = found.logits(x["measured"]).argmax(axis=1)
    counts = {side: len(rows) for side, rows in sides.items()}
    metrics = _metrics(said, y["measured"], both[1], len(names))
    made = with_labels(model, chosen.name, names, found)
    return Probe(made, metrics, _classes(names, said, y["measured"], both[1]), penalty, counts, tuple(left_out))


def features(
    model: Sensorium, field: Modality, raws: Sequence[Raw], progress: Callable[[int, int], None] | None = None
) -> Float[np.ndarray, "N P"]:
    """What the encoder of a field pools of raw things, before any projection (as Radford et al. 2021, section A.2)."""
    graph, state = nnx.split(model.model)

    @jax.jit
    def pooled(state: Any, batch: dict[str, jax.Array]) -> jax.Array:
        encoder = nnx.merge(graph, state).encoders[field.name]
        return encoded(encoder, batch, field.name).pooled

    parts = []
    for start in range(0, len(raws), ROWS):
        batch = stack([field.prepare(opened(raw)) for raw in raws[start : start + ROWS]])
        read = {name: x for name, x in batch.items() if name in (field.name, f"{field.name}/mask", f"{field.name}/shape")}
        rows = len(read[field.name])
        parts.append(np.asarray(pooled(state, pad(read, ROWS)), np.float32)[:rows])
        if progress is not None:
            progress(start + rows, len(raws))
    return np.concatenate(parts)


def with_labels(model: Sensorium, field: str, labels: Sequence[str], linear: Linear) -> Sensorium:
    """The model with a classifier beside the encoder of a field; all else of it is as it was."""
    arguments = dict(model.card.arguments)
    inner = dict(arguments["encoders"][field])
    own = (inner["encoder"], inner.get("form")) == NATIVE
    probed = inner | {"labels": list(labels)} if own else {"encoder": "probed", "inner": inner, "labels": list(labels)}
    card = Card(model.card.builder, arguments | {"encoders": {**arguments["encoders"], field: probed}})
    here = f"encoders.{field}."
    held = {f"{here}classes.kernel": linear.kernel, f"{here}classes.bias": linear.bias}
    held = {name: np.asarray(x, np.float32) for name, x in held.items()}
    for name, x in arrays(model.model).items():
        if not (own and name in held):  # labels that it had before are replaced
            held[name if own else name.replace(here, f"{here}inner.", 1)] = x
    made = filled(card.shapes(), held)
    assert isinstance(made, Space)
    out = Sensorium(made, model.fields, card)
    out.origin = model.origin  # its licence is that of what was made of it, too
    return out


def chosen_field(model: Sensorium, name: str | None = None) -> Modality:
    """The field of that name, by default the first that is no text. `NoLabels` for a model that cannot be probed."""
    if not isinstance(model.model, Space):
        raise NoLabels(f"a {type(model.model).__name__} has no encoders that a classifier could be put beside: give a space")
    if name is not None:
        return model.field(name)
    return next((field for field in model.fields if field.kind != "text"), model.fields[0])


def _labelled(items: Sequence[Item], label: str | None, field: Modality) -> tuple[list[tuple[Item, str]], list[str]]:
    """The items that have both the field and a label, with it; and a sentence on what is left out."""
    having = [item for item in items if field.kind in item.raws]
    if not having:
        kinds = ", ".join(sorted({kind for item in items for kind in item.raws})) or "nothing"
        raise NoLabels(f"the items hold {kinds}, and the labels are to be learned from {field.kind}: give another field")
    if label is not None and not any(label in item.metadata for item in having):
        raise UnknownName(f"no item has a column {label!r}.{nearest(label, {key for item in having for key in item.metadata})}")
    found = [(item, _label(item, label)) for item in having]
    named = [(item, name) for item, name in found if name]
    if not named:
        raise NoLabels(
            "no item lies in a folder of its class (cats/1.jpg, dogs/7.jpg); where a manifest has a column with the classes, "
            "name it (label)"
            if label is None
            else f"the column {label!r} is empty"
        )
    left_out = [f"{len(items) - len(having)} items have no {field.kind}"] if len(having) < len(items) else []
    left_out += [f"{len(found) - len(named)} items have no label"] if len(named) < len(found) else []
    return named, left_out


def _label(item: Item, label: str | None) -> str:
    said = PurePosixPath(item.id).parent.as_posix() if label is None else item.metadata.get(label)
    return "" if said is None or said == "." else str(said).strip()


def _sides(labelled: list[tuple[Item, str]], left_out: list[str]) -> tuple[dict[str, list[tuple[Item, str]]], list[str]]:
    """The items to learn from ("train"), to choose the penalty by, and to measure on; and the classes, sorted."""
    names = {id(item): name for item, name in labelled}

    def part(side: str) -> list[tuple[Item, str]]:
        return [(item, names[id(item)]) for item in split([item for item, _ in labelled], side)]

    train, choosing, measured = part("train"), part("validation"), part("test")
    if not measured:
        measured = choosing
        apart = [place(f"choosing {item.group or item.id}") < CHOOSING for item, _ in train]
        choosing = [row for row, kept in zip(train, apart, strict=True) if kept]
        train = [row for row, kept in zip(train, apart, strict=True) if not kept]
    known = sorted({name for _, name in train})
    sides = {"train": train, "choosing": choosing, "measured": measured}
    for side in ("choosing", "measured"):
        strange = sorted({name for _, name in sides[side]} - set(known))
        if strange:
            left_out.append(f"{side}: items of {', '.join(strange[:5])} are left out: none of them is left to learn from")
        sides[side] = [(item, name) for item, name in sides[side] if name in known]
    if len(known) < 2 or not all(sides.values()):
        counts = ", ".join(f"{len(rows)} {side}" for side, rows in sides.items())
        told = ", ".join(known[:5]) or "none"
        raise NoLabels(f"{len(labelled)} labelled items ({counts}) of the classes {told}: two classes and more items are needed")
    return sides, known


def _metrics(
    said: Int[np.ndarray, " N"], true: Int[np.ndarray, " N"], trained: Int[np.ndarray, " M"], classes: int
) -> dict[str, float]:
    right = int(np.sum(said == true))
    low, high = wilson(right, len(true))
    usual = np.bincount(trained, minlength=classes).argmax()
    return {
        "accuracy": right / len(true),
        "accuracy/low": low,
        "accuracy/high": high,
        "accuracy/chance": float(np.mean(true == usual)),
        "items": float(len(true)),
        "classes": float(classes),
    }


def _classes(
    names: Sequence[str], said: Int[np.ndarray, " N"], true: Int[np.ndarray, " N"], trained: Int[np.ndarray, " M"]
) -> tuple[Class, ...]:
    rows = []
    for i, name in enumerate(names):
        of = true == i
        rows.append(Class(name, int(np.sum(trained == i)), int(of.sum()), int(np.sum(said[of] == i)), int(np.sum(said == i))))
    return tuple(rows)
