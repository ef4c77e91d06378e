"""`sensorium join`: two spaces that both read texts made one, by texts alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from sensorium.cli.main import WrongUsage

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

EXAMPLE = """sensorium join openai/clip-vit-base-patch32 laion/clap-htsat-unfused --texts captions.txt --out runs/joined
sensorium join runs/photos runs/sounds --texts photos/ --out runs/joined --hidden 512"""
RESULT = "join.json"


def join(
    base: tyro.conf.Positional[str],
    other: tyro.conf.Positional[str],
    *,
    texts: Path,
    out: Path,
    hidden: int = 0,
    steps: int = 2000,
    noise: float = 0.5,
    seed: int = 0,
    overwrite: bool = False,
) -> dict:
    """Make one space of two that both read texts: a CLIP and a CLAP become one of pictures, texts and sounds.

    The first stays as it is; what the second reads reaches it over a small bridge, which is learned from what both make of the
    same texts. No pair of, say, a picture and a sound is needed.

    Args:
        base: The space that stays as it is: the id of a published checkpoint, the directory of one, or a run of ours.
        other: The space whose other fields join it.
        texts: A file of texts, one a line, or a folder or manifest with captions: thousands, of the kind that both models know.
        out: Where the joined model goes.
        hidden: Units of a perceptron beside the linear bridge.
        steps: Updates of the bridge.
        noise: The length of what is added to vectors of length 1, so that the bridge carries what lies near texts too.
        seed: Of the bridge, and of which texts it is measured on.
        overwrite: Replace an earlier joined model that stands at `out`.
    """
    if steps < 1 or hidden < 0 or not 0 <= noise < float("inf"):
        raise WrongUsage(f"--steps {steps} --hidden {hidden} --noise {noise}: at least 1, 0 and 0. See: sensorium join --help")
    import sensorium
    from sensorium.cli import device, place
    from sensorium.core.files import write_json
    from sensorium.run import command, versions

    place.folder(out)
    place.unused(out, RESULT, overwrite)
    device.prepare()
    first, second = sensorium.load(base), sensorium.load(other)
    made = sensorium.join(first, second, _texts(texts), hidden=hidden, steps=steps, noise=noise, seed=seed)
    made.sensorium.save_pretrained(out, "sensorium")
    result = {
        "base": {"model": base, "fingerprint": first.fingerprint},
        "other": {"model": other, "fingerprint": second.fingerprint},
        "fields": list(made.sensorium.modalities),
        "metrics": made.metrics,
    }
    write_json(out / RESULT, result | {"command": command(), "versions": versions()})
    return {"out": str(out), **result}


def show(result: dict, console: "Console") -> None:
    from rich.markup import escape

    metrics = result["metrics"]
    console.print(f"{', '.join(result['fields'])} in one space, joined by {metrics['texts']:.0f} texts")
    console.print(
        f"texts that the bridge was not made of find themselves: {metrics['recall@1']:.1%} (chance {metrics['chance']:.1%}), "
        f"at a cosine of {metrics['cosine']:.2f}"
    )
    line = f"sensorium index FOLDER --model {result['out']} --out my.collection"
    console.print(f"Next: {escape(line)}", style="dim", highlight=False, soft_wrap=True)


def _texts(path: Path) -> list[str]:
    """The lines of a text file; of a folder or manifest its captions."""
    from sensorium.data.fields import captions
    from sensorium.data.layout import scan
    from sensorium.data.listing import decoded

    if path.suffix.lower() != ".txt":
        return captions(scan(path).items)
    return [line for line in map(str.strip, decoded(path.read_bytes(), path).splitlines()) if line]
