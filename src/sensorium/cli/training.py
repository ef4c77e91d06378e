"""Training with a progress bar: what `train` and `demo` share."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sensorium.cli.progress import progress

if TYPE_CHECKING:
    from sensorium.run import Run
    from sensorium.training import Experiment
else:
    Run = Experiment = Any


def train_with_bar(experiment: "Experiment", out: Any) -> "Run":
    """`sensorium.train` behind a bar of steps; the time that compilation takes is shown as what it is."""
    from sensorium.run import train

    with progress() as bar:
        task = bar.add_task("training", total=experiment.steps, text="compiling …")

        def tell(record: dict[str, Any]) -> None:
            if record["step"] == 0:
                text = f"compiled in {record['seconds/compile']:.1f} s"
            else:
                text = f"loss {record['loss']:.3f}  {record['samples_per_second']:.0f} samples/s"
            bar.update(task, completed=record["step"], text=text)

        return train(experiment, out, tell)


@contextmanager
def counting(description: str, total: int | None = None):
    """A bar that counts: `with counting("reading", 100) as advance: advance(1)`."""
    with progress() as bar:
        task = bar.add_task(description, total=total, text="")

        def advance(done: int = 1) -> None:
            bar.advance(task, done)

        yield advance
