"""`sensorium models`: which published checkpoints are known, and what a given one is."""

from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

EXAMPLE = """sensorium models
sensorium models openai/clip-vit-base-patch32
sensorium models runs/photos --json"""


def models(name: tyro.conf.Positional[str] = "", *, revision: str | None = None) -> dict:
    """List the families of published checkpoints that are read, with examples; or say what a given model is.

    Args:
        name: A run, the directory of a checkpoint, or the id of a repository; left out, all families are listed.
        revision: Of the repository: a branch, a tag or the hash of a commit.
    """
    return one(name, revision) if name else {"families": families()}


def families() -> list[dict[str, Any]]:
    """A row for each family: its name, what it gives, its library, and examples with size and licence."""
    from sensorium.pretrained import FAMILIES
    from sensorium.pretrained.licence import Licence

    return [
        {
            "family": family.name,
            "gives": family.gives,
            "library": family.library,
            "architectures": list(family.architectures),
            "examples": [
                {
                    "id": example.id,
                    "millions": example.millions,
                    "licence": example.licence,
                    "commercial": Licence(example.licence).commercial,
                }
                for example in family.examples
            ],
        }
        for family in FAMILIES.values()
    ]


def one(name: str, revision: str | None) -> dict[str, Any]:
    from sensorium.cli import device

    device.prepare()
    import sensorium
    from sensorium.pretrained.folder import kept_as
    from sensorium.pretrained.hub import folder_of

    model = sensorium.load(name, revision)
    licence = model.origin.licence
    return {
        "name": name,
        "folder": str(model.origin.folder),
        "family": model.family or "sensorium",
        "fields": [{"name": field.name, "kind": field.kind, "shape": _shape(field)} for field in model.fields],
        "parameters": sum(x.size for x in model.parameters()),
        "dtype": kept_as(folder_of(name, revision)),
        "width": model.model.width,
        "licence": str(licence),
        "commercial": licence.commercial if licence.id else None,
        "fingerprint": model.fingerprint,
    }


def show(result: dict, console: "Console") -> None:
    from rich.markup import escape
    from rich.table import Table

    if "families" in result:
        width = max(len(example["id"]) for family in result["families"] for example in family["examples"])
        for family in result["families"]:
            console.print(f"[bold]{family['family']}[/]: {escape(family['gives'])}", highlight=False, soft_wrap=True)
            for example in family["examples"]:
                licence = example["licence"] + ("" if example["commercial"] else " (not for commercial use)")
                line = f"  {example['id']:{width}}  {example['millions']:6.1f} million  {licence}"
                console.print(escape(line), highlight=False, soft_wrap=True)
        console.print("Next: sensorium models ID-OR-FOLDER; sensorium convert ID-OR-FOLDER OUT", style="dim", highlight=False)
        return
    fields = ", ".join(f"{field['name']} ({field['kind']} {'×'.join(map(str, field['shape']))})" for field in result["fields"])
    table = Table.grid(padding=(0, 2))
    for key, value in (
        ("family", result["family"]),
        ("fields", fields),
        ("parameters", f"{result['parameters']:,} as {result['dtype']}"),
        ("width", str(result["width"])),
        ("licence", result["licence"] + (" (not for commercial use)" if result["commercial"] is False else "")),
        ("fingerprint", result["fingerprint"]),
        ("folder", result["folder"]),
    ):
        table.add_row(key, escape(value))
    console.print(table)


def _shape(field: Any) -> list[int]:
    """Of one prepared thing."""
    return list(field.blank()[field.name].shape)
