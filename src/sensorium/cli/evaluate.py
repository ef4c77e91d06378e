"""`sensorium evaluate`: how well a model finds each modality by each other, or captions, on a folder."""

from typing import TYPE_CHECKING, Any, Literal

import tyro

from sensorium.cli import columns as mapping

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

EXAMPLE = """sensorium evaluate runs/photos photos/
sensorium evaluate Salesforce/blip-image-captioning-base photos/"""


def evaluate(
    model: tyro.conf.Positional[str],
    folder: tyro.conf.Positional[str],
    *,
    split: Literal["auto", "validation", "train", "all"] = "auto",
    columns: mapping.Words = (),
) -> dict:
    """Measure retrieval in every direction: recall among the first 1, 5 and 10, its 95 % interval, and chance.

    Every caption of an item is a query and a right answer of its own; equal captions of two items are right for both.

    Of a model that captions, what it says is measured beside the captions of the folder: BLEU-4, ROUGE-L and CIDEr-D, with
    their 95 % intervals, and what the same words get beside the captions of another item.

    Args:
        model: The folder that `sensorium train` wrote, a published checkpoint's, or its id on the Hub.
        folder: A folder of files, or a manifest.
        split: Which items: by default those kept apart in training where the model was trained on this folder, else all.
        columns: Which column of a table holds what: text=Beschreibung image=Bild; by default what the model was trained with.
    """
    from dataclasses import asdict

    import sensorium
    from sensorium.cli import device
    from sensorium.cli.progress import progress
    from sensorium.core.errors import SensoriumError
    from sensorium.data import check
    from sensorium.data import split as part
    from sensorium.models import Generator
    from sensorium.run import evaluate_captions

    given = mapping.given(columns)
    device.prepare()
    trained = mapping.trained_on(model, folder)
    given = trained.get("columns") if given is None else given
    loaded = sensorium.load(model)
    chosen = _split(trained) if split == "auto" else split
    with progress() as bar:
        task = bar.add_task("reading every file", total=None, text="")
        health = check(folder, loaded.fields, lambda done, total: bar.update(task, completed=done, total=total), columns=given)
    items = part(health.good, chosen)
    metrics = evaluate_captions(loaded, items) if isinstance(loaded.model, Generator) else sensorium.evaluate(loaded, items)
    if not metrics:
        advice = "see sensorium data check" if chosen == "all" else "try --split all"
        raise SensoriumError(
            f"{folder}: nothing to measure: of the {len(items)} items of the split {chosen!r} too few have two of "
            f"{', '.join(loaded.modalities)}; {advice}"
        )
    return {
        "model": str(model),
        "folder": str(folder),
        "columns": given,
        "split": chosen,
        "items": len(items),
        "problems": [asdict(problem) for problem in health.broken],
        "metrics": metrics,
    }


def show(result: dict, console: "Console") -> None:
    from rich.markup import escape

    console.print(f"{result['items']} items ({result['split']}) of {escape(result['folder'])}", highlight=False)
    if result["split"] == "all":
        console.print("all items: if the model was trained on some of these, the numbers flatter it", style="dim")
    if result["problems"]:
        console.print(f"[yellow]{len(result['problems'])} problems, left out[/] (see: sensorium data check)")
    if any(key.endswith("/recall@1") for key in result["metrics"]):
        table(result["metrics"], console)
    else:
        captions(result["metrics"], console)


def captions(metrics: dict[str, float], console: "Console") -> None:
    """A row a measure of captions, with its interval and chance: in percent but for CIDEr, which goes to 10."""
    from rich import box
    from rich.table import Table

    (direction,) = {key.split("/")[0] for key in metrics}
    grid = Table(direction.replace("->", " → "), "", "95 %", "chance", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, said, factor, digits in (("bleu4", "BLEU-4", 100, 1), ("rouge_l", "ROUGE-L", 100, 1), ("cider", "CIDEr-D", 1, 2)):
        value, low, high, chance = (factor * metrics[f"{direction}/{name}{part}"] for part in ("", "/low", "/high", "/chance"))
        grid.add_row(said, f"{value:.{digits}f}", f"{low:.{digits}f}–{high:.{digits}f}", f"{chance:.{digits}f}")
    console.print(grid)
    console.print(f"of {metrics[f'{direction}/captions']:.0f} captions; CIDEr-D goes from 0 to 10", style="dim", highlight=False)


def table(metrics: dict[str, float], console: "Console") -> None:
    """A row a direction: recall with its interval and chance, in percent, and the median rank."""
    from rich import box
    from rich.table import Table

    grid = Table("", "R@1", "95 %", "chance", "R@5", "R@10", "median rank", "of", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in grid.columns:
        column.no_wrap = True
    for direction in dict.fromkeys(key.split("/")[0] for key in metrics):
        of = {key.partition("/")[2]: value for key, value in metrics.items() if key.split("/")[0] == direction}
        if "recall@1" not in of:
            continue
        grid.add_row(
            direction.replace("->", " → "),
            f"{100 * of['recall@1']:.1f}",
            f"{100 * of['recall@1/low']:.1f}–{100 * of['recall@1/high']:.1f}",
            f"{100 * of['recall@1/chance']:.2g}",
            f"{100 * of['recall@5']:.1f}",
            f"{100 * of['recall@10']:.1f}",
            f"{of['median_rank']:g}",
            f"{of['gallery']:.0f}",
        )
    console.print(grid)


def _split(trained: dict[str, Any]) -> str:
    """What was kept apart where the run was trained on these data, else everything. `trained`: of `columns.trained_on`."""
    return "validation" if trained else "all"
