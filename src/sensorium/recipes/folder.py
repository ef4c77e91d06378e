"""A user's own folder in one space: the modalities are those that its files have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Item, Modality, Source
from sensorium.core.trainer import Trainer
from sensorium.data import Folder, Mixture, split
from sensorium.data.augment import DEFAULTS, Augmented
from sensorium.data.columns import Given, spoken
from sensorium.data.door import whole
from sensorium.data.health import Health
from sensorium.data.orders import Apart, Order
from sensorium.data.several import label_of
from sensorium.doctor import Report, examine
from sensorium.doctor.copies import leaking
from sensorium.optim.dials import optimizer_of
from sensorium.recipes.towers import pairs, space
from sensorium.training import Experiment

SAMPLES = 60_000
"""What a run looks at unless told otherwise: a few minutes on two cores; small folders are seen at most `EPOCHS` times."""
EPOCHS = 60


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
    lr: float = 2e-3,
    width: int = 256,
    augment: bool = False,
    workers: int = 0,
    max_bad: float = 0.05,
    seed: int = 0,
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
        lr: The highest learning rate.
        width: The dimension of the shared space.
        augment: Crop, colour, shift and drop a little at random (see `data.augment`); nothing is mirrored.
        workers: Processes that read files; 0 reads in threads of this one.
        max_bad: The share of things that may turn out to be unreadable while training, before the run stops.
        seed: Of the parameters and of the order of the items.
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
    report = examine(several, columns=columns)
    told = {"columns": columns, "weights": weights}
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
    lr: float = 2e-3,
    width: int = 256,
    augment: bool = False,
    workers: int = 0,
    max_bad: float = 0.05,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Experiment:
    """The same where the folder has been examined already. What is a copy of an item kept for validation is left out."""
    health = report.health
    fields = health.fields
    called = path if isinstance(path, Path | str) else ", ".join(map(str, path))
    leaks = leaking(report.findings, health.good)
    items = [item for item in split(health.good, "train") if item.id not in leaks]
    together = [item for item in items if len(item.raws) > 1]
    left_out = [str(problem) for problem in health.broken]
    if alone := len(items) - len(together):
        left_out.append(f"{alone} items have one modality only: there is nothing to learn from them")
    if leaks:
        some = ", ".join(sorted(leaks)[:3])
        left_out.append(f"{len(leaks)} items ({some} …) are copies, or nearly, of items that are kept for validation")
    if len(fields) < 2 or len(together) < 2:
        kinds = ", ".join(field.kind for field in fields) or "nothing"
        raise TooLittle(
            f"{called}: holds {kinds}, and {len(together)} items to train on with two modalities or more; at least 2 are needed. "
            "Give files that belong together the same stem (cat.jpg, cat.txt): see sensorium data check" + _unused_columns(health)
        )
    trainer = trainer or Trainer()
    batch = max(2, min(128, len(together) // 2)) if batch is None else batch
    steps = max(50, min(SAMPLES, EPOCHS * len(together)) // max(batch, 1)) if steps is None else steps
    # The path whole, as `evaluate` asks from any directory whether a folder is the one that was trained on.
    arguments: dict[str, Any] = {"path": whole(path) if isinstance(path, Path | str) else [whole(one) for one in path]}
    arguments |= {"columns": spoken(columns), "weights": None if weights is None else list(weights)}
    arguments |= {"steps": steps, "batch": batch, "lr": lr, "width": width}
    arguments["micro_batch"] = micro_batch
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
        model=space(fields, width),
        losses=pairs(fields),
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
    )


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
