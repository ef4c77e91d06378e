"""`sensorium probe`: labels learned from what a trained model that stays as it is knows."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from sensorium.cli import columns as mapping

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

EXAMPLE = """sensorium probe photos/ --model openai/clip-vit-base-patch32 --out runs/breeds
sensorium probe photos/manifest.csv --model runs/photos --out runs/breeds --label breed"""
RESULT = "probe.json"


def probe(
    folder: tyro.conf.Positional[str],
    *,
    model: str,
    out: Path,
    label: str | None = None,
    field: str | None = None,
    columns: mapping.Words = (),
    overwrite: bool = False,
) -> dict:
    """Learn labels from a trained model that stays as it is (a linear probe), and keep the classifier.

    Each thing is encoded once; then a linear classifier goes to its optimum, with the penalty that suits items kept apart. The
    accuracy is that on items that nothing was learned from. sensorium.load(out).classify(things) classifies.

    Args:
        folder: A folder of files, a manifest, tar shards, or a Hugging Face data set on disk.
        model: The id of a published checkpoint, the directory of one, or a run of ours.
        out: Where the classifier goes.
        label: The column of a manifest that holds the class; by default the folder that a file lies in (cats/1.jpg).
        field: What of an item is classified; by default the model's first field that is no text.
        columns: Which column of a table holds what, where its name does not say it: text=Beschreibung image=Bild.
        overwrite: Replace an earlier probe that stands at `out`.
    """
    from dataclasses import asdict

    import sensorium
    from sensorium.cli import device, place
    from sensorium.cli.progress import progress
    from sensorium.core.files import write_json
    from sensorium.data import check
    from sensorium.probing import chosen_field
    from sensorium.probing import probe as fit
    from sensorium.run import command, versions

    place.folder(out)
    place.unused(out, RESULT, overwrite)
    device.prepare()
    loaded = sensorium.load(model)
    chosen = chosen_field(loaded, field)
    with progress() as bar:
        task = bar.add_task("reading every file", total=None, text="")

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        health = check(folder, (chosen,), tell, columns=mapping.given(columns))
        bar.reset(task, description="encoding", total=None)
        made = fit(loaded, health.good, label, chosen.name, tell)
    made.sensorium.save_pretrained(out, "sensorium")
    result = {
        "model": model,
        "fingerprint": loaded.fingerprint,
        "folder": folder,
        "label": label,
        "field": chosen.name,
        "items": made.items,
        "penalty": made.penalty,
        "metrics": made.metrics,
        "classes": [asdict(row) for row in made.classes],
        "problems": [asdict(problem) for problem in health.broken],
        "left_out": list(made.left_out),
    }
    write_json(out / RESULT, result | {"command": command(), "versions": versions()})
    return {"out": str(out), **result}


def show(result: dict, console: "Console") -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    metrics, items = result["metrics"], result["items"]
    console.print(
        f"{result['field']}: {items['train'] + items['choosing']} items to learn from, {items['measured']} to measure on; "
        f"penalty {result['penalty']:.3g}"
    )
    console.print(
        f"accuracy {metrics['accuracy']:.1%} (95 %: {metrics['accuracy/low']:.1%}–{metrics['accuracy/high']:.1%}; the most "
        f"frequent class for all of them: {metrics['accuracy/chance']:.1%})"
    )
    grid = Table("class", "learned from", "measured", "right", "called so", box=box.SIMPLE_HEAD, pad_edge=False)
    for row in sorted(result["classes"], key=lambda row: row["right"] / max(row["items"], 1))[:30]:
        share = f"{row['right'] / row['items']:.0%}" if row["items"] else "–"
        grid.add_row(escape(row["label"]), str(row["trained"]), str(row["items"]), share, str(row["said"]))
    console.print(grid)
    if len(result["classes"]) > 30:
        console.print(f"the 30 that are hardest of {len(result['classes'])}; all: {escape(result['out'])}/{RESULT}", style="dim")
    for said in result["left_out"]:
        console.print(f"[yellow]left out:[/] {escape(said)}", highlight=False, soft_wrap=True)
    if result["problems"]:
        console.print(f"[yellow]{len(result['problems'])} problems, left out[/] (see: sensorium data check)")
    line = f"sensorium.load({result['out']!r}).classify({result['field']}=[…])"
    console.print(f"Next, in Python: {escape(line)}", style="dim", highlight=False, soft_wrap=True)
