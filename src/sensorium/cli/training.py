"""Training with a progress bar: what `train` and `demo` share."""

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from sensorium.cli.progress import progress

if TYPE_CHECKING:
    from sensorium.run import Run
    from sensorium.training import Experiment
else:
    Run = Experiment = Any


def train_with_bar(experiment: "Experiment", out: Any, **how: bool) -> "Run":
    """`sensorium.train` behind a bar of steps; the time that compilation takes is shown as what it is.

    What trains is shown where not all of it does, and what the training doctor finds as soon as it does.
    """
    from sensorium.run import train
    from sensorium.training.beginning import what_trains

    rows = what_trains(experiment)
    with progress() as bar:
        if any(row.how != "full" for row in rows[:-1]):
            bar.console.print(table_of(rows))
        task = bar.add_task("training", total=experiment.steps, text="compiling …")

        def tell(record: dict[str, Any]) -> None:
            bar.update(task, completed=record["step"], text=_text(record))
            for said in _said(record):
                bar.console.print(said, highlight=False, soft_wrap=True)

        return train(experiment, out, tell, **how)


def _text(record: dict[str, Any]) -> str:
    if "seconds/compile" in record:
        return f"compiled in {record['seconds/compile']:.1f} s"
    loss = "not finite" if record["loss"] is None else f"{record['loss']:.3f}"
    return f"loss {loss}  {record['samples_per_second']:.0f} samples/s"


def _said(record: dict[str, Any]) -> list[str]:
    """What a person should hear of a record, as rich writes it."""
    found = record.get("findings", ())
    said = [f"[yellow]step {f['step']}: {f['kind']}:[/] {escape(f['text'])}\n  {escape(f['advice'])}" for f in found]
    plain = (*record.get("resumed", ()), *record.get("broken", ()), *record.get("trackers", ()))
    return said + [f"[yellow]{escape(text)}[/]" for text in plain]


def table_of(rows: Sequence[Any]) -> Table:
    """What trains, as a table: a line for each part of the model."""
    table = Table("part", "parameters", "trained", "how", "rate")
    for row in rows:
        table.add_row(row.group, f"{row.parameters:,}", f"{row.trained:,}", row.how, row.rate)
    return table


@contextmanager
def counting(description: str, total: int | None = None):
    """A bar that counts: `with counting("reading", 100) as advance: advance(1)`."""
    with progress() as bar:
        task = bar.add_task(description, total=total, text="")

        def advance(done: int = 1) -> None:
            bar.advance(task, done)

        yield advance
