"""A run: an experiment trained, measured and kept in a directory."""

import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import permutations
from pathlib import Path

import numpy as np

from sensorium.checkpoints.lock import RunLock
from sensorium.core.errors import SensoriumError
from sensorium.core.files import read_json, write_json
from sensorium.core.protocols import Item
from sensorium.metrics import captioning, retrieval
from sensorium.modalities.text import identity
from sensorium.modalities.transcript import NotAsked
from sensorium.models import Generator, Model
from sensorium.pretrained.model_card import Origin, remove_card
from sensorium.recipes.start import INIT, keep
from sensorium.sensorium import Sensorium
from sensorium.training import Experiment, fit
from sensorium.training.course import Record
from sensorium.training.hosts import by_first, first
from sensorium.training.loop import Keeping

RUN, LOG, METRICS = "run.json", "log.jsonl", "metrics.json"
MOST_EXAMINED = 1000
"""Validation items that are looked at while training; the end measures all of them."""
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


class RunExists(SensoriumError):
    """A run stands where another one is to be kept."""


class OtherRun(SensoriumError, ValueError):
    """A run is to be gone on with under other arguments than it was begun with. The text names each."""


def train(
    experiment: Experiment,
    out: Path | str | None = None,
    tell: Callable[[Record], None] | None = None,
    *,
    resume: bool = False,
    changed: bool = False,
    overwrite: bool = False,
) -> Run:
    """Trains an experiment, and measures it on its validation items where it has any, and against its truth where it has one.

    `out`: a directory for `config.json` and `model.safetensors` (see `load`), `run.json` (recipe, arguments, command,
    versions), `init.json` (the trained model that it begins with, if any), `log.jsonl` (the history), `rejects.jsonl` (what
    could not be read, if anything), `metrics.json` and `checkpoints/`. `tell` is called with every record of the history.

    `resume` goes on from the newest checkpoint that is whole: to the very bits that the run would have come to without
    a stop, on the same devices. Where an argument differs from the run's, `OtherRun` names it; `changed` goes on all the same.
    A run that stands at `out` is `RunExists` unless `overwrite`. One process at a time trains in a directory; several that
    are one run (`training.hosts`) all call this, with a directory that all of them see, in which the first one writes.
    """
    if out is None:
        return _train(experiment, None, tell, resume=False)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:

        def begin() -> None:
            stack.enter_context(RunLock(out))
            if resume:
                _same(experiment, out, changed)
            else:
                _clear(out, overwrite)

        by_first(begin)
        return _train(experiment, out, tell, resume=resume)


def _train(experiment: Experiment, out: Path | None, tell: Callable[[Record], None] | None, resume: bool) -> Run:
    start, keeping = time.perf_counter(), None
    if out:
        about = experiment.identity() | {"left_out": experiment.left_out, "command": command(), "versions": versions()}
        if first():
            write_json(out / RUN, about)
            if experiment.start is not None:
                keep(experiment.start, out)
        keeping = Keeping.at(out, experiment.trainer.keep, resume)
    examine = _Examiner(experiment) if experiment.trainer.evaluate_every and _pairs(experiment.validation) else None
    model, history = fit(experiment, keeping, tell, examine)
    made = Sensorium(model, experiment.fields, experiment.model)
    made.origin = Origin(folder=out)  # whose run.json says what it began with: for cards beside other copies
    if out and first():  # before it is measured: a validation file that is gone by now must not cost the model
        made.save_pretrained(out)
        write_json(out / RUN, about | {"seconds": round(time.perf_counter() - start, 2)})
    metrics = evaluate(made, experiment.validation) if _pairs(experiment.validation) else {}
    metrics |= {} if experiment.truth is None else experiment.truth(made)
    if out and first():
        write_json(out / METRICS, metrics)
        made.save_card(out)  # again, with the metrics
    return Run(made, history, metrics, out, experiment.left_out)


def _same(experiment: Experiment, out: Path, changed: bool) -> None:
    """An `OtherRun` unless the run at `out` was begun with the arguments of now."""
    if not (out / RUN).is_file():
        raise OtherRun(f"{out}: no run was begun here ({RUN} is missing): leave out resume, or give the directory of one")
    begun, now = read_json(out / RUN), json.loads(json.dumps(experiment.identity()))
    old = {"recipe": begun.get("recipe"), **begun.get("arguments", {})}
    new = {"recipe": now["recipe"], **now["arguments"]}
    free = ("workers", "save_every", "keep")  # they decide nothing of what is computed
    other = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name) and name not in free]
    if other and not changed:
        told = ", ".join(f"{name}: {old.get(name)!r}, now {new.get(name)!r}" for name in other)
        raise OtherRun(f"{out}: the run was begun with other arguments: {told}. Give the same, or say --changed (changed=True)")


def _clear(out: Path, overwrite: bool) -> None:
    """Removes what is left of an earlier run, none of which may pass for the new one's; a `RunExists` unless told."""
    made = (RUN, LOG, METRICS, INIT, "rejects.jsonl", "config.json", "model.safetensors")
    if (out / LOG).exists() and not overwrite:
        raise RunExists(f"{out}: a run stands here: go on with it (resume), replace it (overwrite), or give another directory")
    for name in made:
        (out / name).unlink(missing_ok=True)
    remove_card(out)
    for path in out.glob("rejects-*.jsonl"):  # of the other processes of a run over several
        path.unlink()
    shutil.rmtree(out / "checkpoints", ignore_errors=True)


class _Examiner:
    """Evaluates one model after another on the same items: at most `MOST_EXAMINED`, through one compiled program."""

    def __init__(self, experiment: Experiment):
        self._items, self._experiment = list(experiment.validation[:MOST_EXAMINED]), experiment
        self._model: Sensorium | None = None

    def __call__(self, model: Model) -> dict[str, float]:
        if self._model is None:
            self._model = Sensorium(model, self._experiment.fields, self._experiment.model)
        self._model.update(model)
        return evaluate(self._model, self._items)


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


def evaluate_captions(model: Sensorium, items: Sequence[Item]) -> dict[str, float]:
    """What a model that captions says of things, beside the texts that their items have: `metrics.captioning` as
    `"image->text/bleu4"` and so on, and `"image->text/captions"`, their number. Every picture of an item is captioned, and all of
    its texts are references. {} where fewer than two can be measured; `NotAsked` for a model that does not caption."""
    if not isinstance(model.model, Generator):
        raise NotAsked(f"this model of {', '.join(model.modalities)} does not caption: see evaluate, which measures retrieval")
    source, target = model.field(model.model.reads[0]), model.field(model.model.target)
    owned = [
        (raw, item.raws[target.kind]) for item in items if item.raws.get(target.kind) for raw in item.raws.get(source.kind, ())
    ]
    if len(owned) < 2:
        return {}
    said = [str(text) for text in model.caption([raw for raw, _ in owned])]
    found = captioning(said, [list(texts) for _, texts in owned]) | {"captions": len(owned)}
    return {f"{source.name}->{target.name}/{name}": float(value) for name, value in found.items()}


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
