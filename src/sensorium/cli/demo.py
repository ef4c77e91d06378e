"""`sensorium demo`: the whole road on the built-in world, from files on disk to a searchable space and a report."""

import resource
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensorium.cli.main import WrongUsage
from sensorium.core.errors import SensoriumError, need

if TYPE_CHECKING:
    from rich.console import Console

    from sensorium.data import Health
    from sensorium.sensorium import Sensorium
else:
    Console = Health = Sensorium = Any

EXAMPLE = """sensorium demo
sensorium demo --full
sensorium demo --quick --out /tmp/demo"""
FULL = {"steps": 1100, "gallery": 1000}
QUICK = {"steps": 90, "gallery": 300}
SPLITS = ("validation", "compositional")


def demo(*, out: Path = Path("demo"), quick: bool = False, full: bool = False, seed: int = 0) -> dict:
    """Train on the built-in world and show what was learned. No network and no GPU are needed.

    Writes scenes as ordinary files (`world/`), trains a shared space of pictures, captions and sounds (`run/`), measures
    it on scenes that it never saw, makes them searchable (`world.collection`), and writes `report.html` and `metrics.json`.

    Args:
        out: The folder for all of it.
        quick: A minute or two, with the lower numbers that go with it: fewer steps, a smaller gallery.
        full: Then learn to tell, to answer, to paint, to play and to move as well, each into a folder of its name. It takes
            long: each of them some minutes on two CPU cores.
        seed: Of the scenes that are trained on and of the parameters.
    """
    if quick and full:
        raise WrongUsage("--quick and --full: which of them?")
    start = time.perf_counter()
    needed = {"report": ("matplotlib", "jinja2"), "media": ("soundfile", "soxr"), "search": ("lancedb",)}
    for extra, module in ((extra, module) for extra, modules in needed.items() for module in modules):
        need(module, extra, "the demo")  # not found out after minutes of training

    from sensorium.cli import device, place
    from sensorium.cli.demo_report import write
    from sensorium.cli.training import counting, train_with_bar
    from sensorium.core.files import write_json
    from sensorium.recipes import senses
    from sensorium.run import command, evaluate, versions
    from sensorium.search import Collection

    place.folder(out)
    place.unused(out, "world", overwrite=True)
    device.prepare()
    dials = QUICK if quick else FULL
    health = {split: _split(out / "world" / split, split, dials["gallery"]) for split in SPLITS}
    experiment = senses(steps=dials["steps"], seed=seed)
    run = train_with_bar(experiment, out / "run", overwrite=True)
    model = run.sensorium
    metrics: dict[str, Any] = dict(evaluate(model, health["validation"].good))
    metrics |= {f"compositional/{key}": value for key, value in evaluate(model, health["compositional"].good).items()}
    metrics |= _hard_negatives(model, health["validation"], dials["gallery"])
    with counting("indexing", len(health["validation"].good)) as advance:
        collection = Collection.update(
            model,
            health["validation"].good,
            out / "world.collection",
            root=out / "world" / "validation",
            model_path=out / "run",
            progress=advance,
            anew=True,
        )
    made = ({}, [])
    if full:
        from sensorium.cli.demo_full import learn_all

        made = learn_all(out, out / "run", seed)
        metrics |= made[0]
    seconds = {"compile": run.history[0]["seconds/compile"], "train": run.history[-1]["seconds"]}
    result = metrics | {f"seconds/{name}": value for name, value in seconds.items()}
    result |= {
        "command": command(),
        "versions": versions(),
        "arguments": {**experiment.arguments, **dials, "quick": quick, "full": full},
    }
    result["seconds/total"] = round(time.perf_counter() - start, 2)
    write(out / "report.html", run, result, health, collection, made[1])
    result["seconds/total"] = round(time.perf_counter() - start, 2)
    result["peak_rss_mb"] = _peak_rss_mb()
    write_json(out / "metrics.json", result)
    return {"report": str(out / "report.html"), "metrics": result, "out": str(out)}


def show(result: dict, console: "Console") -> None:
    from sensorium.cli.evaluate import table

    metrics = result["metrics"]
    numbers = {key: value for key, value in metrics.items() if isinstance(value, float | int)}
    gallery, captions = numbers["text->image/gallery"], numbers["image->text/gallery"]
    console.print(f"{gallery:.0f} scenes that training never saw, with {captions:.0f} captions:", highlight=False)
    table({key: value for key, value in numbers.items() if "->" in key.split("/")[0]}, console)
    console.print("the same for combinations of shape and colour that training never showed:")
    prefix = "compositional/"
    table({key.removeprefix(prefix): value for key, value in numbers.items() if key.startswith(prefix)}, console)
    console.print(
        f"hard negatives (“a red circle above a blue square”, or colours exchanged?): {numbers['hard_negatives/accuracy']:.1%} "
        f"right (chance 50 %)\n{numbers['seconds/total']:.0f} s in all, {numbers['seconds/train']:.0f} s of training, "
        f"{numbers['seconds/compile']:.1f} s of compilation; peak memory {numbers['peak_rss_mb']:.0f} MB",
        highlight=False,
    )
    out = result["out"]
    from rich.markup import escape

    console.print(f"\nLook at {escape(result['report'])}, then ask it something:", highlight=False, soft_wrap=True)
    line = shlex.join(["sensorium", "search", f"{out}/world.collection", "a small red circle in the top left"])
    console.print(f"  {escape(line)}", style="dim", highlight=False, soft_wrap=True)


def _split(folder: Path, split: str, scenes: int) -> "Health":
    """Writes scenes of a split as files, and reads the folder as a user's own is read."""
    from sensorium.cli.training import counting
    from sensorium.data import check
    from sensorium.data.synthetic import write_world
    from sensorium.world import caption, scene

    if (folder / "manifest.jsonl").exists():  # of an earlier demo, perhaps of more scenes
        shutil.rmtree(folder)
    drawn = scene.distinct(split, scenes)
    captions = [caption.render(drawn, "list", variant) for variant in range(2)]
    with counting(f"writing {split}", scenes) as advance:
        write_world(folder, drawn, captions, advance)
    health = check(folder)
    if health.broken or len(health.good) != scenes:
        raise SensoriumError(f"{folder}: {len(health.good)} of {scenes} scenes came back whole: {health.broken[:3]}")
    return health


def _hard_negatives(model: "Sensorium", health: "Health", scenes: int) -> dict[str, Any]:
    """Accuracy of telling a true sentence about a picture from the one with two colours exchanged; pictures from their files."""
    from sensorium.metrics import bootstrap, pairs_right
    from sensorium.world import caption, scene

    rows, true, false = caption.swaps(scene.distinct("validation", scenes))
    pictures = model.encode(image=[health.good[row].raws["image"][0] for row in rows])["image"]
    right = pairs_right(pictures, model.encode(text=true)["text"], model.encode(text=false)["text"])
    low, high = bootstrap(right)
    prefix = "hard_negatives/accuracy"
    return {prefix: float(right.mean()), f"{prefix}/low": low, f"{prefix}/high": high, "hard_negatives/pairs": len(right)}


def _peak_rss_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)  # bytes on macOS, KiB elsewhere
