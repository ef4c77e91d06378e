"""`sensorium train`: a shared space from a folder of files."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from sensorium.cli import columns as mapping
from sensorium.cli.device import together
from sensorium.cli.main import WrongUsage
from sensorium.core.errors import SensoriumError
from sensorium.core.trainer import Trainer

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

DEFAULT = Trainer()
EXAMPLE = """sensorium train photos/ --out runs/photos
sensorium train photos/ --out runs/augmented --augment --workers 2
sensorium train photos/ liste.csv --out runs/both --columns text=Beschreibung image=Bild --weights 2 1
sensorium train photos/ --out runs/tuned --init openai/clip-vit-base-patch32 --lora 8
sensorium train photos/ --out runs/longer --steps 3000 --lr 1e-3 --evaluate-every 200 --ema 0.999
sensorium train photos/ --out runs/longer --steps 3000 --lr 1e-3 --evaluate-every 200 --ema 0.999 --resume"""


@together
def train(
    folder: tyro.conf.Positional[tuple[str, ...]],
    *,
    out: Path,
    columns: mapping.Words = (),
    weights: tuple[float, ...] | None = None,
    steps: int | None = None,
    batch: int | None = None,
    micro_batch: int | None = None,
    lr: float | None = None,
    width: int | None = None,
    augment: bool = False,
    workers: int = 0,
    max_bad: str = "5%",
    seed: int = 0,
    init: str | None = None,
    towers: Literal["house", "clip"] = "house",
    trainer: Annotated[Trainer, tyro.conf.OmitArgPrefixes] = DEFAULT,
    resume: bool = False,
    changed: bool = False,
    overwrite: bool = False,
) -> dict:
    """Learn what the pictures, captions, sounds and clips of a folder have in common.

    The modalities are those that the files have; the size of the run suits the number of items. A tenth of the items,
    picked by a hash of their names, is kept apart and measured on at the end. Broken files are listed and left out.

    Args:
        folder: A folder of files, a manifest, tar shards, a Hugging Face data set on disk, or an address (s3://…);
            or several of them, which are checked, split and trained on together.
        out: Where the run goes: the model, its log and its metrics.
        columns: Which column of a table holds what, where its name does not say it: text=Beschreibung image=Bild.
        weights: How often each of several sources is drawn from; by default as often as it has items.
        steps: Updates of the parameters; by default what suits the number of items.
        batch: Items a step; by default what suits the number of items.
        micro_batch: Items whose activations are held at once, a divisor of batch: a large batch in the memory of a small one.
        lr: The highest learning rate: 2e-3, and with --init 1e-5, of adapters 2e-4.
        width: The dimension of the shared space: 256, and with --init that of the model.
        augment: Crop, colour, shift and drop a little at random; nothing is mirrored, so "left" stays true.
        workers: Processes that read files; 0 reads in threads.
        max_bad: The share of things that may turn out to be unreadable while training, before the run stops.
        seed: Of the parameters and of the order of the items.
        init: A trained model to begin with: the id of a published checkpoint (openai/clip-vit-base-patch32), the directory of
            one, or a run of ours. Its tokenizer and preprocessing are taken, and its own contrast is trained on.
        towers: clip: pictures and texts by small transformers of CLIP's form, which sensorium convert --family clip then writes
            for transformers. Needs more time than those of the house.
        trainer: How the steps are taken, watched and kept.
        resume: Go on with the run that stands at `out`, to the same bits as if it had never been stopped.
        changed: With resume: go on although arguments differ from those that the run was begun with.
        overwrite: Replace an earlier run that stands at `out`.
    """
    _refuse_nonsense(steps=steps, batch=batch, lr=lr, width=width, workers=workers)
    most, given = _share(max_bad), mapping.given(columns)
    _refuse_weights(folder, weights)

    from dataclasses import asdict

    from sensorium.cli import device, place
    from sensorium.cli.progress import progress
    from sensorium.cli.training import train_with_bar
    from sensorium.doctor import examine
    from sensorium.recipes.folder import of_report
    from sensorium.recipes.start import begun, start_of
    from sensorium.run import command
    from sensorium.training.hosts import first
    from sensorium.training.interrupt import Interrupted

    place.folder(out)
    if not resume and first():
        place.unused(out, "log.jsonl", overwrite)
    device.prepare()
    start = None if init is None else (begun(out, init) if resume else None) or start_of(init)
    with progress() as bar:
        task = bar.add_task("reading every file", total=None, text="")
        sources, fields = folder[0] if len(folder) == 1 else folder, None if start is None else start.fields
        report = examine(sources, fields, lambda done, total: bar.update(task, completed=done, total=total), columns=given)
    dials = {
        "columns": given,
        "weights": weights,
        "steps": steps,
        "batch": batch,
        "micro_batch": micro_batch,
        "lr": lr,
        "width": width,
        "augment": augment,
        "workers": workers,
    }
    experiment = of_report(report, sources, **dials, max_bad=most, seed=seed, init=start, towers=towers, trainer=trainer)  # type: ignore[arg-type]
    try:
        run = train_with_bar(experiment, out, resume=resume, changed=changed, overwrite=overwrite)
    except Interrupted as stop:
        line = command().replace(" --resume", "").replace(" --overwrite", "")
        raise Interrupted(f"{stop}:\n  {line} --resume") from None
    return {
        "run": str(out),
        "folder": sources if isinstance(sources, str) else list(sources),
        "fields": list(run.sensorium.modalities),
        "items": {"train": len(experiment.source), "validation": len(experiment.validation)},
        "problems": [asdict(problem) for problem in report.health.broken],
        "left_out": list(run.left_out),
        "arguments": experiment.arguments,
        "loss": run.history[-1]["loss"],
        "busy": run.history[-1]["busy"],
        "rejected": run.history[-1]["rejected"],
        "skipped": run.history[-1]["skipped"],
        "findings": [finding for record in run.history for finding in record.get("findings", ())],
        "seconds": {"compile": run.history[0]["seconds/compile"], "train": run.history[-1]["seconds"]},
        "metrics": run.metrics,
    }


def in_ray(config: dict[str, Any]) -> None:
    """What each worker of Ray's JaxTrainer runs: `JaxTrainer(in_ray, train_loop_config={"arguments": ["photos/", "--out", …]})`.

    Ray has joined the workers by then. A `SensoriumError` where the command fails, so that Ray starts them anew.
    """
    from sensorium.cli.main import main

    if code := main(["train", *config["arguments"]]):
        raise SensoriumError(f"sensorium train ended with exit code {code}: what it printed says why")


def show(result: dict, console: "Console") -> None:
    from rich.markup import escape

    from sensorium.cli.evaluate import table

    counts = result["items"]
    arguments = result["arguments"]
    console.print(
        f"{', '.join(result['fields'])}: {counts['train']} items, {arguments['steps']} steps of {arguments['batch']}, "
        f"{result['seconds']['train']:.0f} s (and {result['seconds']['compile']:.0f} s to compile); loss {result['loss']:.3f}"
    )
    console.print(f"the step was busy {result['busy']:.0%} of that time; the rest it waited for data", style="dim")
    if result["rejected"]:
        told = escape(str(Path(result["run"]) / "rejects.jsonl"))
        console.print(f"[yellow]{result['rejected']} times something could not be read:[/] {told}")
    if result["skipped"]:
        console.print(
            f"[yellow]{result['skipped']} steps were not applied[/], as their loss or gradient was not finite (see the log)"
        )
    if result["left_out"]:
        console.print("[yellow]left out:[/] (more: sensorium data check)")
    for said in result["left_out"][-5:]:
        console.print(f"  {escape(said)}", highlight=False, soft_wrap=True)
    if result["metrics"]:
        console.print(f"\non the {counts['validation']} items that were kept apart:")
        table(result["metrics"], console)
    else:
        console.print(f"no metrics: {counts['validation']} items were kept apart, too few to search among")
    first = result["folder"] if isinstance(result["folder"], str) else result["folder"][0]
    line = shlex.join(["sensorium", "index", first, "--model", result["run"], "--out", "my.collection"])
    console.print(f"Next: {escape(line)}", style="dim", highlight=False, soft_wrap=True)


def _refuse_nonsense(*, steps: int | None, batch: int | None, lr: float | None, width: int | None, workers: int) -> None:
    """Dials that could be set but mean nothing: without an update, or without a second item to tell a first one from."""
    for name, value, least in (("steps", steps, 1), ("batch", batch, 2), ("width", width, 1), ("workers", workers, 0)):
        if value is not None and value < least:
            raise WrongUsage(f"--{name} {value}: at least {least} is needed. See: sensorium train --help")
    if lr is not None and not 0 < lr < float("inf"):
        raise WrongUsage(f"--lr {lr}: a positive number is needed. See: sensorium train --help")


def _refuse_weights(sources: tuple[str, ...], weights: tuple[float, ...] | None) -> None:
    if not sources:
        raise WrongUsage("what is to be trained on? See: sensorium train --help")
    if weights is not None and (
        len(sources) < 2 or len(weights) != len(sources) or not all(0 < w < float("inf") for w in weights)
    ):
        raise WrongUsage(
            f"--weights {' '.join(f'{w:g}' for w in weights)}: a positive number for each of several sources is needed, and "
            f"there are {len(sources)}: {', '.join(sources)}"
        )


def _share(text: str) -> float:
    """A share that is written as 5% or as 0.05."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise WrongUsage(f"--max-bad {text}: a share such as 5% or 0.05 is needed. See: sensorium train --help")
    return share
