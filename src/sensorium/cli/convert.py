"""`sensorium convert`: a model from one layout into another, or with numbers of another size."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from sensorium.cli.main import WrongUsage
from sensorium.core.errors import SensoriumError

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

EXAMPLE = """sensorium convert runs/photos photos-clip --family clip
sensorium convert openai/clip-vit-base-patch32 clip-bf16 --dtype bfloat16
sensorium convert google/siglip-base-patch16-224 ours --family sensorium"""
OWN = "sensorium"


class NotConverted(SensoriumError):
    """A model has not the form of the layout that it was to be written in."""


def convert(
    source: tyro.conf.Positional[str],
    out: tyro.conf.Positional[Path],
    *,
    family: str | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] | None = None,
    shard_size: str | None = None,
    licence: str | None = None,
    revision: str | None = None,
    overwrite: bool = False,
) -> dict:
    """Write a model in the layout of a family of published checkpoints, which transformers reads, or in Sensorium's own.

    Args:
        source: A run, a directory in the layout of Hugging Face or OpenCLIP, or the id of a repository.
        out: Where it goes, a folder.
        family: The layout: a family's name (see sensorium models), or sensorium; by default the one that it has.
        dtype: Of the numbers; by default as they are.
        shard_size: Several files of weights of at most this size, such as 5GB; by default one file.
        licence: What the card says, such as mit; by default what the source's card says.
        revision: Of the repository: a branch, a tag or the hash of a commit.
        overwrite: Replace a model that stands at `out`.
    """
    from sensorium.cli import device, place

    place.folder(out)
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise SensoriumError(f"{out} is not empty: give another folder, or --overwrite to write into it")
    device.prepare()
    import sensorium
    from sensorium.pretrained import FAMILIES
    from sensorium.pretrained.folder import kept_as
    from sensorium.pretrained.hub import folder_of

    if family not in (None, OWN):
        _ = FAMILIES[family]
    own = kept_as(folder_of(source, revision))
    loaded = sensorium.load(source, revision, "float32" if family == OWN else own)
    layout = family or loaded.family or OWN
    if layout == OWN and dtype not in (None, "float32"):
        raise WrongUsage(
            f"--dtype {dtype}: Sensorium's own layout is of float32; give a --family too. See: sensorium convert --help"
        )
    try:
        loaded.save_pretrained(out, layout, dtype=dtype, shard_size=shard_size, licence=licence)
    except ValueError as error:
        raise NotConverted(f"{source}: {error}") from error
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {
        "source": source,
        "out": str(out),
        "family": layout,
        "dtype": "float32" if layout == OWN else dtype or own,
        "parameters": sum(x.size for x in loaded.parameters()),
        "files": {str(path.relative_to(out)): path.stat().st_size for path in files},
    }


def show(result: dict, console: "Console") -> None:
    from rich.markup import escape

    size = sum(result["files"].values()) / 1e6
    console.print(
        f"{escape(result['out'])}: {result['parameters'] / 1e6:.1f} million parameters as {result['dtype']}, in the layout of "
        f"{result['family']}, {size:.1f} MB"
    )
    console.print(", ".join(escape(name) for name in result["files"]), style="dim", highlight=False)
