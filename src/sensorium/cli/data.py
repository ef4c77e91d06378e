"""`sensorium data check`: what a folder holds, what is wrong with it and what to do. `sensorium data fix`: a clean copy."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from sensorium.cli import columns as mapping
from sensorium.cli.main import WrongUsage
from sensorium.core.errors import BadFile, SensoriumError

if TYPE_CHECKING:
    from rich.console import Console

    from sensorium.doctor import Audit

EXAMPLE = """sensorium data check photos/ --html report.html --fix plan.json
sensorium data check liste.csv --columns text=Beschreibung image=Bild
sensorium data fix photos/ plan.json --out photos-clean/"""
FEW = 3
"""Findings of a kind that are printed."""
COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


def data(
    action: Annotated[Literal["check", "fix"], tyro.conf.Positional],
    folder: Annotated[str, tyro.conf.Positional],
    plan: Annotated[Path | None, tyro.conf.Positional] = None,
    *,
    fix: Path | None = None,
    out: Path | None = None,
    html: Path | None = None,
    model: str | None = None,
    columns: mapping.Words = (),
) -> dict[str, Any]:
    """Say what a folder (or a manifest) holds and what is wrong with it: every file is decoded, and each finding says what to do.

    Args:
        action: check: decode everything and report. fix: make a clean copy as a plan says; the folder itself is never changed.
        folder: A folder with images/, captions/, audio/ and video/ in any subset, or with files side by side, or a manifest.
        plan: For fix: the plan that check wrote, and that you have read and edited.
        fix: Write a plan of what could be done about the findings. With --out: apply the plan that stands there.
        out: Where the clean copy goes: a new folder.
        html: Write the report as one page, too.
        model: A trained model, to look for pairs that do not belong together.
        columns: Which column of a table holds what: text=Beschreibung image=Bild. A plan says of each line what it does.
    """
    if action == "fix":
        if plan is None or out is None:
            raise WrongUsage("fix takes a plan and --out: sensorium data fix photos/ plan.json --out photos-clean/")
        if fix or html or model or columns:
            raise WrongUsage("--fix, --html, --model and --columns belong to check: sensorium data check --help")
        return _apply(folder, plan, out)
    if plan is not None:
        raise WrongUsage(f"check takes no {plan}: did you mean --fix {plan}?")
    if out is not None:
        if fix is None or html or model or columns:
            raise WrongUsage("--out goes with --fix alone: sensorium data check photos/ --fix plan.json --out photos-clean/")
        return _apply(folder, fix, out)
    if fix is not None and fix.exists():
        raise SensoriumError(f"{fix}: it exists, and may have been edited. Apply it with --out, or give a new name")
    return _check(folder, fix, html, model, mapping.given(columns))


def _check(
    folder: str, fix: Path | None, html: Path | None, model: str | None, columns: dict[str, list[str]] | None
) -> dict[str, Any]:
    from sensorium.cli.progress import progress
    from sensorium.doctor import examine, write_plan

    audit = audit_of(model) if model else None
    with progress() as bar:
        task = bar.add_task("decoding", total=None)
        report = examine(folder, None, lambda done, total: bar.update(task, completed=done, total=total), audit, columns)
    health = report.health
    if not health.good:
        causes = "; ".join(map(str, health.broken[:3]))
        raise BadFile(f"{folder}: none of the {len(health.listing.items)} items can be used. {causes}")
    result = report.to_json()
    if fix:
        result["plan"] = {"path": str(fix), "actions": len(write_plan(report, fix)["actions"])}
    if html:
        from sensorium.show.check_page import write_page

        write_page(report, html)
        result["html"] = str(html)
    return result


def audit_of(model: str) -> "Audit":
    """A trained model as the doctor looks at pairs with it."""
    import sensorium
    from sensorium.cli import device
    from sensorium.data.folder import opened
    from sensorium.doctor import Audit

    device.prepare()
    loaded = sensorium.load(model)
    names = {field.kind: field.name for field in loaded.fields}
    return Audit(tuple(names), lambda kind, raws: loaded.encode(**{names[kind]: [opened(raw) for raw in raws]})[names[kind]])


def _apply(folder: str, plan: Path, out: Path) -> dict[str, Any]:
    from sensorium.doctor import apply

    applied = apply(folder, plan, out)
    return {"folder": str(folder), "plan": str(plan), "out": str(out), "done": applied.done, "kept": applied.kept}


def show(result: dict[str, Any], console: "Console") -> None:
    """The report as tables, what is wrong last."""
    from rich.markup import escape
    from rich.table import Table

    from sensorium.data.listing import printable

    if "done" in result:
        told = ", ".join(f"{n} × {name}" for name, n in result["done"].items()) or "nothing to do"
        console.print(f"{escape(result['out'])}: {told}; {result['kept']} files as they were", highlight=False)
        return
    console.print(f"[bold]{escape(printable(result['root']))}[/bold]  {escape(printable(result['layout']))}", highlight=False)
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
        console.print(f"- {escape(printable(remark))}", highlight=False)
    if result["broken"]:
        console.print(f"[bold red]{len(result['broken'])} left out[/bold red]")
    else:
        console.print("[green]nothing is broken[/green]")
    for line in grouped(result):
        console.print(line, highlight=False)
    for key, said in (("plan", "plan"), ("html", "report")):
        if key in result:
            place = result[key]["path"] if key == "plan" else result[key]
            console.print(f"{said}: {escape(place)}", highlight=False)


def grouped(result: dict[str, Any]) -> list[str]:
    """The findings by kind, in rich's markup: how many, why it matters and what to do, and the first few files."""
    from rich.markup import escape

    from sensorium.data.listing import printable

    kinds: dict[str, list[dict[str, Any]]] = {}
    for one in result["findings"]:
        kinds.setdefault(one["kind"], []).append(one)
    lines = []
    for kind, all_of in kinds.items():
        first = all_of[0]
        colour = COLOURS[first["severity"]]
        lines.append(f"[{colour}]{len(all_of)} × {escape(kind)}[/{colour}]: {escape(first['why'])}. To do: {escape(first['do'])}")
        for one in all_of[:FEW]:
            paths = [printable(path.removeprefix(f"{result['root']}/")) for path in one["paths"]]
            more = f" and {len(paths) - FEW} more" if len(paths) > FEW else ""
            lines.append(f"    {escape(', '.join(paths[:FEW]))}{more}: {escape(printable(one['what']))}")
        if len(all_of) > FEW:
            lines.append(f"    and {len(all_of) - FEW} more: --json lists all")
    return lines


def remarks(result: dict[str, Any]) -> list[str]:
    """What a person should know that is no error, a sentence each."""
    out = []
    captions = result["captions"]
    if captions:
        out.append(f"{captions['total']} captions, {captions['fewest']} to {captions['most']} an item that has any")
    if captions.get("shared"):
        shared = ", ".join(map(repr, captions["examples"]))
        out.append(f"{captions['shared']} captions are shared by several of {captions['items_with_shared']} items: {shared}")
    if len(result.get("scripts", {})) > 1:
        out.append("captions by script: " + ", ".join(f"{name} {n}" for name, n in result["scripts"].items()))
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
