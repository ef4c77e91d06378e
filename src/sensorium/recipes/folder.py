"""A user's own folder in one space: the modalities are those that its files have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Item, Modality, Source
from sensorium.core.trainer import BadDial, Trainer
from sensorium.data import Folder, Mixture, split
from sensorium.data.augment import DEFAULTS, Augmented
from sensorium.data.columns import Given, spoken
from sensorium.data.door import whole
from sensorium.data.fields import captions
from sensorium.data.health import Health
from sensorium.data.orders import Apart, Order
from sensorium.data.several import label_of
from sensorium.doctor import Report, examine
from sensorium.doctor.copies import leaking
from sensorium.optim.dials import optimizer_of
from sensorium.recipes.clip_towers import clip_fields, clip_space
from sensorium.recipes.start import EPOCHS as START_EPOCHS
from sensorium.recipes.start import check, contrast, rate, start_of
from sensorium.recipes.towers import pairs, space
from sensorium.training import Card, Experiment
from sensorium.training.experiment import Start

SAMPLES = 60_000
"""What a run looks at unless told otherwise: a few minutes on two cores; small folders are seen at most `EPOCHS` times."""
EPOCHS = 60
WIDTH, RATE = 256, 2e-3
HOUSE, CLIP, RATE_CLIP = "house", "clip", 1e-3


class TooLittle(SensoriumError):
    """The folder has nothing that a shared space could be learned from."""


class BadWeights(SensoriumError, ValueError):
    """Weights that are not one positive number for each of several sources."""


def folder(
    path: Path | str | Sequence[Path | str],
    *,
    columns: Given | None = None,
    weights: Sequence[float] | None = None,
    steps: int | None = None,
    batch: int | None = None,
    micro_batch: int | None = None,
    lr: float | None = None,
    width: int | None = None,
    augment: bool = False,
    workers: int = 0,
    max_bad: float = 0.05,
    seed: int = 0,
    init: str | Path | Start | None = None,
    towers: str = HOUSE,
    trainer: Trainer | None = None,
) -> Experiment:
    """Learn what the pictures, captions, sounds and clips of a folder have in common.

    Items of one group (a manifest's column `group`) are kept out of each other's batch, where the groups are small enough.
    Several sources are drawn from by `weights`; their items are checked and split together, and each stays on its side.

    Args:
        path: The folder, or a CSV or JSONL manifest of files; or several of them.
        columns: Which column of a table holds what, where names and contents do not say it.
        weights: How often each of several sources is drawn from, by default as often as it has items.
        steps: Updates of the parameters; by default what suits the number of items.
        batch: Items a step; by default what suits the number of items.
        micro_batch: Items whose activations are held at once: a large batch in the memory of a small one.
        lr: The highest learning rate; by default what suits a model that starts with random numbers, or one that does not.
        width: The dimension of the shared space, 256 by default.
        augment: Crop, colour, shift and drop a little at random (see `data.augment`); nothing is mirrored.
        workers: Processes that read files; 0 reads in threads of this one.
        max_bad: The share of things that may turn out to be unreadable while training, before the run stops.
        seed: Of the parameters and of the order of the items.
        init: A trained model to begin with: a published checkpoint (the id of a repository, or a directory) or a run of ours.
            Its fields read the files, and its own contrast is trained on. `begun(out)` for a run that is gone on with.
        towers: "house", which are quick, or "clip": pictures and texts by small transformers of CLIP's form, which
            `save_pretrained(…, family="clip")` writes for transformers.
        trainer: How the steps are taken, watched and kept.
    """
    dials = {
        "steps": steps,
        "batch": batch,
        "micro_batch": micro_batch,
        "lr": lr,
        "width": width,
        "augment": augment,
        "workers": workers,
    }
    several = path if isinstance(path, Path | str) or len(path) > 1 else path[0]
    start = None if init is None else start_of(init)
    report = examine(several, None if start is None else start.fields, columns=columns)
    told = {"columns": columns, "weights": weights, "init": start, "towers": towers}
    return of_report(report, several, **told, **dials, max_bad=max_bad, seed=seed, trainer=trainer)  # type: ignore[arg-type]


def of_report(
    report: Report,
    path: Path | str | Sequence[Path | str],
    *,
    columns: Given | None = None,
    weights: Sequence[float] | None = None,
    steps: int | None = None,
    batch: int | None = None,
    micro_batch: int | None = None,
    lr: float | None = None,
    width: int | None = None,
    augment: bool = False,
    workers: int = 0,
    max_bad: float = 0.05,
    seed: int = 0,
    init: str | Path | Start | None = None,
    towers: str = HOUSE,
    trainer: Trainer | None = None,
) -> Experiment:
    """The same where the folder has been examined already (with the fields of `init`, where there is one). What is a copy of an
    item kept for validation is left out."""
    start = None if init is None else start_of(init)
    health = report.health
    fields = health.fields
    called = path if isinstance(path, Path | str) else ", ".join(map(str, path))
    leaks = leaking(report.findings, health.good)
    items = [item for item in split(health.good, "train") if item.id not in leaks]
    fields = _checked(towers, start, fields, items)
    kinds = {field.kind for field in fields}
    together = [item for item in items if len(item.raws.keys() & kinds) > 1]
    left_out = [str(problem) for problem in health.broken]
    if start is not None:
        left_out += check(start, str(called), health.listing.items)
    elif idle := sorted({field.kind for field in health.fields} - kinds):
        left_out.append(f"{', '.join(idle)}: a CLIP reads pictures and texts")
    if alone := len(items) - len(together):
        left_out.append(f"{alone} items have one modality only: there is nothing to learn from them")
    if leaks:
        some = ", ".join(sorted(leaks)[:3])
        left_out.append(f"{len(leaks)} items ({some} …) are copies, or nearly, of items that are kept for validation")
    if len(fields) < 2 or len(together) < 2:
        held = ", ".join(field.kind for field in fields) or "nothing"
        raise TooLittle(
            f"{called}: holds {held}, and {len(together)} items to train on with two modalities or more; at least 2 are needed. "
            "Give files that belong together the same stem (cat.jpg, cat.txt): see sensorium data check" + _unused_columns(health)
        )
    trainer = trainer or Trainer()
    width, lr = _size_and_rate(start, trainer, width, RATE_CLIP if lr is None and towers == CLIP else lr)
    batch = max(2, min(128 if start is None else 64, len(together) // 2)) if batch is None else batch
    epochs = EPOCHS if start is None else START_EPOCHS
    steps = max(50, min(SAMPLES, epochs * len(together)) // max(batch, 1)) if steps is None else steps
    # The path whole, as `evaluate` asks from any directory whether a folder is the one that was trained on.
    arguments: dict[str, Any] = {"path": whole(path) if isinstance(path, Path | str) else [whole(one) for one in path]}
    arguments |= {"columns": spoken(columns), "weights": None if weights is None else list(weights)}
    arguments |= {"steps": steps, "batch": batch, "lr": lr, "width": width}
    arguments["micro_batch"] = micro_batch
    arguments |= {} if start is None else {"init": start.name}
    arguments |= {} if towers == HOUSE else {"towers": towers}
    arguments |= {"augment": augment, "workers": workers, "max_bad": max_bad, "seed": seed}
    source, order = _drawn(health.listing.sources, together, fields, weights, batch, seed)
    if augment:
        source = Augmented(source, {field.name: DEFAULTS.get(field.kind, ()) for field in fields}, seed=seed)
    return Experiment(
        recipe="folder",
        arguments=arguments,
        fields=fields,
        source=source,
        order=order,
        model=_card(towers, fields, width) if start is None else start.card,
        losses=pairs(fields) if start is None else contrast(start),
        optimizer=optimizer_of(trainer, lr, steps, weight_decay=0.05),
        steps=steps,
        batch=batch,
        seed=seed,
        workers=workers,
        micro_batch=micro_batch,
        max_bad=max_bad,
        trainer=trainer,
        validation=split(health.good, "validation"),
        left_out=tuple(left_out),
        start=start,
    )


def _checked(towers: str, start: Start | None, fields: tuple[Modality, ...], items: Sequence[Item]) -> tuple[Modality, ...]:
    """The fields that are trained on, by the `towers` that read them."""
    if towers not in (HOUSE, CLIP) or (towers == CLIP and start is not None):
        why = "what is begun with has towers of its own" if start is not None else f"expected {HOUSE} or {CLIP}"
        raise BadDial(f"towers={towers!r}: {why}")
    return clip_fields(fields, captions(items)) if towers == CLIP else fields


def _card(towers: str, fields: tuple[Modality, ...], width: int) -> Card:
    if towers == HOUSE:
        return space(fields, width)
    picture, text = fields
    return clip_space(picture, text, width)  # type: ignore[arg-type]


def _size_and_rate(start: Start | None, trainer: Trainer, width: int | None, lr: float | None) -> tuple[int, float]:
    """The width of the space and the highest learning rate. A `BadDial` for a width that is not that of the model begun with."""
    if start is None:
        return WIDTH if width is None else width, RATE if lr is None else lr
    own = int(start.card.arguments["width"])
    if width not in (None, own):
        raise BadDial(f"width={width}: {start.name} has vectors of {own} numbers: leave width out")
    return own, rate(trainer) if lr is None else lr


def _drawn(
    sources: Sequence[str],
    items: Sequence[Item],
    fields: Sequence[Modality],
    weights: Sequence[float] | None,
    batch: int,
    seed: int,
) -> tuple[Source, Order | None]:
    """What the batches come from, and in which order: of several sources each by its weight."""
    if not sources:
        if weights is not None:
            raise BadWeights(f"weights {list(weights)} for a single source: several have them")
        source = Folder(items, fields)
        return source, _apart(source.groups(), batch, seed)
    parts = {name: Folder([item for item in items if label_of(item) == name], fields) for name in sources}
    if empty := [name for name, part in parts.items() if not len(part)]:
        raise TooLittle(
            f"{', '.join(empty)}: of these sources nothing is left to train on that has two modalities or more: leave them out"
        )
    try:
        mixture = Mixture(parts, weights)
        return mixture, mixture.order(batch, seed)
    except ValueError as error:
        raise BadWeights(f"weights of {', '.join(sources)}: {error}") from error


def _unused_columns(health: Health) -> str:
    """What is said of a manifest's columns that hold neither files nor captions as far as is known, "" where there are none."""
    used = {name for names in health.listing.columns.values() for name in names}
    names = dict.fromkeys(name for item in health.good[:100] if item.line for name in item.metadata if name not in used)
    some = ", ".join(list(names)[:5])
    return (
        f". Columns that are not used: {some}: say what they hold with --columns text={next(iter(names))} (columns= in Python)"
        if names and health.listing.manifest is not None
        else ""
    )


def _apart(groups: Int[np.ndarray, " N"], batch: int, seed: int) -> Apart | None:
    """The order that keeps items of one group out of each other's batch, where there are groups and it can."""
    largest = np.unique(groups, return_counts=True)[1].max()
    return Apart(groups, batch, seed) if 1 < largest <= len(groups) // batch else None
