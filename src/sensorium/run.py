"""A run: an experiment trained, measured and kept in a directory."""

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import permutations
from pathlib import Path

import numpy as np

from sensorium.core.files import write_json
from sensorium.core.protocols import Item
from sensorium.metrics import retrieval
from sensorium.modalities.text import identity
from sensorium.sensorium import Sensorium
from sensorium.training import Experiment, fit
from sensorium.training.loop import Record

LIBRARIES = ("sensorium", "jax", "flax", "optax", "numpy")


@dataclass(frozen=True)
class Run:
    """What `train` gives: the trained model, how training went, what was measured, where all of it is, and what the recipe
    left out of what it was given."""

    sensorium: Sensorium
    history: list[Record]
    metrics: dict[str, float] = field(default_factory=dict)
    path: Path | None = None
    left_out: tuple[str, ...] = ()


def train(experiment: Experiment, out: Path | str | None = None, tell: Callable[[Record], None] | None = None) -> Run:
    """Trains an experiment, and measures it on its validation items where it has any.

    `out`: a directory for `config.json` and `model.safetensors` (see `load`), `run.json` (recipe, arguments, command,
    versions), `log.jsonl` (the history), `rejects.jsonl` (what could not be read, if anything) and `metrics.json`. `tell` is
    called with every record of the history.
    """
    out = None if out is None else Path(out)
    if out:
        out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    model, history = fit(experiment, out / "log.jsonl" if out else None, tell, out / "rejects.jsonl" if out else None)
    made = Sensorium(model, experiment.fields, experiment.model)
    if out:  # before it is measured: a validation file that is gone by now must not cost the model
        made.save_pretrained(out)
        about = {"recipe": experiment.recipe, "arguments": experiment.arguments, "left_out": experiment.left_out}
        about |= {"command": command(), "seconds": round(time.perf_counter() - start, 2), "versions": versions()}
        write_json(out / "run.json", about)
    metrics = evaluate(made, experiment.validation) if _pairs(experiment.validation) else {}
    if out:
        write_json(out / "metrics.json", metrics)
    return Run(made, history, metrics, out, experiment.left_out)


def evaluate(model: Sensorium, items: Sequence[Item], ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """Retrieval in every direction between the fields of a model, over items whose files are whole (`data.check(…).good`).

    `"text->image/recall@1"`, `…/low`, `…/high` (95 %), `…/chance`, and for each direction `median_rank`, `queries`,
    `gallery`. Every caption of an item is a query, and right for it; so is an equal caption of another item.
    """
    vectors, owners, texts = {}, {}, {}
    for field_ in model.fields:
        owned = [(i, raw) for i, item in enumerate(items) for raw in item.raws.get(field_.kind, ())]
        if owned:
            raws = [raw for _, raw in owned]
            vectors[field_.name] = model.encode(**{field_.name: raws})[field_.name]
            owners[field_.name] = np.array([i for i, _ in owned], np.int64)
            if field_.kind == "text":
                texts[field_.name] = np.array([identity(raw) for raw in raws], np.int64)
    out: dict[str, float] = {}
    for a, b in permutations(vectors, 2):
        if len(np.intersect1d(owners[a], owners[b])):
            also = [_equal_captions(texts[a], owners[a], owners[b])] if a in texts else []
            also += [_equal_captions(texts[b], owners[b], owners[a])[:, ::-1]] if b in texts else []
            pairs = np.concatenate(also) if also else None
            found = retrieval(vectors[a], vectors[b], owners[a], owners[b], ks, pairs)
            out |= {f"{a}->{b}/{name}": value for name, value in found.items()}
    return out


def _equal_captions(texts: np.ndarray, own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """i64[P 2], (row, other): the rows of the other field whose item is not that of a text row, but has an equal caption."""
    pairs = [np.zeros((0, 2), np.int64)]
    order = np.argsort(texts, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(texts[order])) + 1):
        items = np.unique(own[rows])
        if len(items) > 1:
            found = np.flatnonzero(np.isin(others, items))
            row, other = np.repeat(rows, len(found)), np.tile(found, len(rows))
            pairs.append(np.stack([row, other], 1)[own[row] != others[other]])
    return np.concatenate(pairs)


def command() -> str:
    """The command line of this process, as a person would type it."""
    name = Path(sys.argv[0]).name or "python"
    return shlex.join(["sensorium" if name in ("__main__.py", "sensorium") else name, *sys.argv[1:]])


def versions() -> dict[str, str]:
    return {"python": sys.version.split()[0], **{name: version(name) for name in LIBRARIES}}


def _pairs(items: Sequence[Item]) -> bool:
    """Whether there is anything to retrieve: at least two items with two modalities or more."""
    return sum(len(item.raws) > 1 for item in items) > 1
