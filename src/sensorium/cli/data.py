"""`sensorium data check`: what a folder holds, what is missing, what is broken and why."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from sensorium.core.errors import BadFile

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLE = "sensorium data check photos/"
MOST_SHOWN = 20


def data(
    action: Annotated[Literal["check"], tyro.conf.Positional],
    folder: Annotated[Path, tyro.conf.Positional],
) -> dict[str, Any]:
    """Say what a folder (or a CSV, TSV or JSONL manifest) holds: every file is decoded, and the broken ones are listed.

    Args:
        action: check: decode everything and report.
        folder: A folder with images/, captions/, audio/ and video/ in any subset, or with files side by side, or a manifest.
    """
    from sensorium.cli.progress import progress
    from sensorium.data import check

    with progress() as bar:
        task = bar.add_task("decoding", total=None)
        health = check(folder, progress=lambda done, total: bar.update(task, completed=done, total=total))
    if not health.good:
        causes = "; ".join(map(str, health.broken[:3]))
        raise BadFile(f"{folder}: none of the {len(health.listing.items)} items can be used. {causes}")
    return health.to_json()


def show(result: dict[str, Any], console: "Console") -> None:
    """The report as tables, the broken files last."""
    from rich.markup import escape
    from rich.table import Table

    console.print(f"[bold]{escape(result['root'])}[/bold]  {escape(result['layout'])}", highlight=False)
    table = Table("", "there", "missing", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row("items", str(result["items"]), "")
    for kind, n in result["counts"].items():
        table.add_row(kind, str(n), str(result["missing"][kind] or ""))
    for pair, n in result["pairs"].items():
        table.add_row(pair.replace("+", " + "), str(n), str(result["items"] - n or ""))
    table.add_row("all of them", str(result["complete"]), str(result["items"] - result["complete"] or ""))
    console.print(table)
    for remark in remarks(result):
        console.print(f"- {escape(remark)}", highlight=False)
    if not result["broken"]:
        console.print("[green]nothing is broken[/green]")
        return
    console.print(f"[bold red]{len(result['broken'])} left out[/bold red]")
    for one in result["broken"][:MOST_SHOWN]:
        path = one["path"].removeprefix(f"{result['root']}/")
        console.print(f"  [red]{escape(one['kind'])}[/red] {escape(path)}: {escape(one['cause'])}", highlight=False)
    if len(result["broken"]) > MOST_SHOWN:
        console.print(f"  and {len(result['broken']) - MOST_SHOWN} more: --json lists all")


def remarks(result: dict[str, Any]) -> list[str]:
    """What a person should know that is no error, a sentence each."""
    out = []
    captions = result["captions"]
    if captions:
        out.append(f"{captions['total']} captions, {captions['fewest']} to {captions['most']} an item that has any")
    if captions.get("shared"):
        shared = ", ".join(map(repr, captions["examples"]))
        out.append(f"{captions['shared']} captions are shared by several of {captions['items_with_shared']} items: {shared}")
    for name, n in result["lengths"].items():
        cut = f"{n['longer']} are longer and will be cut, {n['shorter']} are shorter and will be padded"
        out.append(f"{name}: the window is {n['window']:g}, the median {n['median']:g}; {cut}")
    if result["items_lost"]:
        out.append(f"{result['items_lost']} items have nothing left that can be used")
    if result["duplicates"]:
        out.append(
            f"{len(result['duplicates'])} groups of files with the same bytes, the first: {', '.join(result['duplicates'][0])}"
        )
    if result["unused"]:
        out.append(f"{len(result['unused'])} files belong to no item, the first: {result['unused'][0]}")
    return out
