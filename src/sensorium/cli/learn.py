"""`sensorium learn`: a recipe on the built-in world, whose dials are the arguments of its function."""

import inspect
from collections.abc import Callable
from dataclasses import field, make_dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import tyro

from sensorium.cli.device import together
from sensorium.core.trainer import Trainer
from sensorium.recipes import WORLDLY

if TYPE_CHECKING:
    from rich.console import Console

    from sensorium.training import Experiment

DEFAULT = Trainer()
EXAMPLE = """sensorium learn pictures --out runs/pictures
sensorium learn captions --source audio --out runs/listener --seed 1
sensorium learn anything --init runs/senses --out runs/world-any --targets image text"""


def _dials(recipe: "Callable[..., Experiment]") -> Any:
    """The arguments of a recipe as a class that tyro reads, as a subcommand of its name."""
    hints = get_type_hints(recipe)
    hints["init"] = str  # in Python it may be a model that was read already
    given = [(name, hints[name], one.default) for name, one in inspect.signature(recipe).parameters.items() if name != "trainer"]
    known = [
        (name, kind) if default is inspect.Parameter.empty else (name, kind, field(default=default))
        for name, kind, default in given
    ]
    made = make_dataclass(recipe.__name__, known, frozen=True, namespace={"__doc__": recipe.__doc__})
    return Annotated[made, tyro.conf.subcommand(recipe.__name__, prefix_name=False), tyro.conf.OmitArgPrefixes]


if TYPE_CHECKING:
    Dials = Any
else:
    Dials = reduce(or_, [_dials(recipe) for recipe in WORLDLY.values()])


@together
def learn(
    recipe: Annotated[Dials, tyro.conf.OmitArgPrefixes],
    *,
    out: Path,
    trainer: Annotated[Trainer, tyro.conf.OmitArgPrefixes] = DEFAULT,
    resume: bool = False,
    changed: bool = False,
    overwrite: bool = False,
) -> dict:
    """Learn the built-in world by a recipe, and measure against its truth what was learned.

    Args:
        recipe: What is learned; its dials are those of its function in sensorium.recipes.
        out: Where the run goes: the model, its log and its metrics.
        trainer: How the steps are taken, watched and kept.
        resume: Go on with the run that stands at `out`, to the same bits as if it had never been stopped.
        changed: With resume: go on although arguments differ from those that the run was begun with.
        overwrite: Replace an earlier run that stands at `out`.
    """
    from dataclasses import fields

    from sensorium.cli import device, place
    from sensorium.cli.training import train_with_bar
    from sensorium.recipes.start import begun
    from sensorium.run import command
    from sensorium.training.hosts import first
    from sensorium.training.interrupt import Interrupted

    place.folder(out)
    if not resume and first():
        place.unused(out, "log.jsonl", overwrite)
    device.prepare()
    dials = {one.name: getattr(recipe, one.name) for one in fields(recipe)}
    if resume and "init" in dials:
        dials["init"] = begun(out, dials["init"]) or dials["init"]
    experiment = WORLDLY[type(recipe).__name__](**dials, trainer=trainer)
    try:
        run = train_with_bar(experiment, out, resume=resume, changed=changed, overwrite=overwrite)
    except Interrupted as stop:
        line = command().replace(" --resume", "").replace(" --overwrite", "")
        raise Interrupted(f"{stop}:\n  {line} --resume") from None
    return {
        "run": str(out),
        "recipe": experiment.recipe,
        "arguments": experiment.arguments,
        "loss": run.history[-1]["loss"],
        "findings": [finding for record in run.history for finding in record.get("findings", ())],
        "seconds": {"compile": run.history[0]["seconds/compile"], "train": run.history[-1]["seconds"]},
        "metrics": run.metrics,
    }


def show(result: dict, console: "Console") -> None:
    from rich.table import Table

    arguments, seconds = result["arguments"], result["seconds"]
    console.print(
        f"{result['recipe']}: {arguments['steps']} steps of {arguments['batch']}, {seconds['train']:.0f} s (and "
        f"{seconds['compile']:.0f} s to compile); loss {result['loss']:.3f}"
    )
    told = {name: value for name, value in result["metrics"].items() if not name.endswith(("/low", "/high", "/chance"))}
    table = Table("measured", "", "95 %", "chance")
    for name, value in told.items():
        low, high, chance = (result["metrics"].get(f"{name}/{part}") for part in ("low", "high", "chance"))
        interval = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
        table.add_row(name, f"{value:.3f}", interval, "" if chance is None else f"{chance:.3f}")
    if told:
        console.print(table)
    console.print(f"kept in {result['run']}", style="dim", highlight=False, soft_wrap=True)
