"""`sensorium runs hash`: one digest over all that decides the future of a run. `sensorium runs list`: the runs of a folder."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from sensorium.cli.main import WrongUsage
from sensorium.core.errors import BadFile

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLE = """sensorium runs list runs/
sensorium runs hash runs/photos"""


def runs(
    action: Annotated[Literal["hash", "list"], tyro.conf.Positional],
    folder: Annotated[Path, tyro.conf.Positional],
    *,
    step: int | None = None,
) -> dict[str, Any]:
    """Say where runs stand: how far each has come, and whether two of them are the same to the last bit.

    Args:
        action: hash: one SHA-256 over everything that decides how a run goes on. list: how far each run has come.
        folder: For hash: the run. For list: the folder that the runs are in, or one run.
        step: For hash: the checkpoint of this step instead of the newest one.
    """
    if not folder.is_dir():
        raise BadFile(f"{folder}: no such folder")
    if action == "hash":
        return _hash(folder, step)
    if step is not None:
        raise WrongUsage("--step belongs to hash: sensorium runs hash RUN --step 120")
    return {"folder": str(folder), "runs": [_row(run) for run in (folder, *sorted(folder.iterdir())) if _is_run(run)]}


def _hash(run: Path, step: int | None) -> dict[str, Any]:
    from sensorium.checkpoints.arrays import digest
    from sensorium.checkpoints.checkpoint import Checkpoints
    from sensorium.cli import device

    device.prepare()
    checkpoints = Checkpoints(run)
    saved = checkpoints.load(step)
    if saved is None:
        there = ", ".join(map(str, checkpoints.steps())) or "none"
        wanted = "no checkpoint" if step is None else f"no checkpoint of step {step}"
        raise BadFile(f"{checkpoints.folder}: {wanted}; there are: {there}")
    return {"run": str(run), "step": saved.step, "hash": digest(saved.arrays, saved.about), "told": list(saved.told)}


def _is_run(path: Path) -> bool:
    return (path / "checkpoints").is_dir() or (path / "log.jsonl").is_file()


def _row(run: Path) -> dict[str, Any]:
    from sensorium.checkpoints.checkpoint import Checkpoints
    from sensorium.core.sealed import read_seal

    checkpoints = Checkpoints(run)
    steps = checkpoints.steps()
    row: dict[str, Any] = {
        "run": str(run),
        "steps": steps,
        "best": checkpoints.best(),
        "loss": _loss(run),
        "when": None,
        "wrong": "",
    }
    if steps:
        try:
            row["when"] = read_seal(checkpoints.place(steps[-1]))["when"]
        except BadFile as error:
            row["wrong"] = str(error)
    return row


def _loss(run: Path) -> float | None:
    """The last loss in the log that is a number; None where there is none."""
    log = run / "log.jsonl"
    for line in reversed(log.read_text(encoding="utf-8").splitlines() if log.is_file() else []):
        try:
            loss = json.loads(line).get("loss")
        except ValueError:  # the process ended while it wrote this line
            continue
        if loss is not None:
            return loss if math.isfinite(loss) else None
    return None


def show(result: dict[str, Any], console: "Console") -> None:
    from rich.markup import escape
    from rich.table import Table

    if "hash" in result:
        for told in result["told"]:
            console.print(f"[yellow]{escape(told)}[/yellow]", highlight=False, soft_wrap=True)
        console.print(f"{result['hash']}  {escape(result['run'])} at step {result['step']}", highlight=False, soft_wrap=True)
        return
    if not result["runs"]:
        console.print(f"{escape(result['folder'])}: no runs here", highlight=False)
        return
    table = Table("run", "step", "best", "loss", "saved", box=None, pad_edge=False)
    for row in result["runs"]:
        loss = "" if row["loss"] is None else f"{row['loss']:.4f}"
        step = str(row["steps"][-1]) if row["steps"] else ""
        table.add_row(
            escape(row["run"]), step, "" if row["best"] is None else str(row["best"]), loss, row["when"] or row["wrong"]
        )
    console.print(table)
