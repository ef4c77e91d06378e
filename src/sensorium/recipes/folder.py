"""A user's own folder in one space: the modalities are those that its files have."""

from pathlib import Path

import numpy as np
from jaxtyping import Int

from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Source
from sensorium.core.trainer import Trainer
from sensorium.data import Folder, split
from sensorium.data.augment import DEFAULTS, Augmented
from sensorium.data.door import whole
from sensorium.data.orders import Apart
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


def folder(
    path: Path | str,
    *,
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

    Args:
        path: The folder, or a CSV or JSONL manifest of files.
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
    return of_report(examine(path), path, **dials, max_bad=max_bad, seed=seed, trainer=trainer)  # type: ignore[arg-type]


def of_report(
    report: Report,
    path: Path | str,
    *,
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
            f"{path}: holds {kinds}, and {len(together)} items to train on with two modalities or more; at least 2 are needed. "
            "Give files that belong together the same stem (cat.jpg, cat.txt): see sensorium data check"
        )
    trainer = trainer or Trainer()
    batch = max(2, min(128, len(together) // 2)) if batch is None else batch
    steps = max(50, min(SAMPLES, EPOCHS * len(together)) // max(batch, 1)) if steps is None else steps
    # The path whole, as `evaluate` asks from any directory whether a folder is the one that was trained on.
    arguments = {"path": whole(path), "steps": steps, "batch": batch, "lr": lr, "width": width}
    arguments["micro_batch"] = micro_batch
    arguments |= {"augment": augment, "workers": workers, "max_bad": max_bad, "seed": seed}
    source: Source = Folder(together, fields)
    groups = source.groups()
    if augment:
        source = Augmented(source, {field.name: DEFAULTS.get(field.kind, ()) for field in fields}, seed=seed)
    return Experiment(
        recipe="folder",
        arguments=arguments,
        fields=fields,
        source=source,
        order=_apart(groups, batch, seed),
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


def _apart(groups: Int[np.ndarray, " N"], batch: int, seed: int) -> Apart | None:
    """The order that keeps items of one group out of each other's batch, where there are groups and it can."""
    largest = np.unique(groups, return_counts=True)[1].max()
    return Apart(groups, batch, seed) if 1 < largest <= len(groups) // batch else None
