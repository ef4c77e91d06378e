"""`sensorium embed`: embeds what may be too much for one process, in shards that are whole or missing."""

import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from sensorium.cli import columns as mapping
from sensorium.cli import main, problems
from sensorium.core.errors import SensoriumError

if TYPE_CHECKING:
    from rich.console import Console

    from sensorium.bulk import Report, Spec
else:
    Console = Report = Spec = Any

EXAMPLE = """sensorium embed photos/ --model runs/photos --out photos.shards --engine processes --workers 4
sensorium embed "s3://lake/train-{000..099}.tar" --model openai/clip-vit-base-patch32 --out /shared/lake --engine ray
sensorium embed photos/ --model runs/photos --out photos.shards --status"""
Run = Callable[["Spec", Sequence[int], Callable[["Report"], None], Callable[[int], None]], dict[int, str]]
Engine = Literal["here", "processes", "ray", "slurm"]
_SHOWN = 10


def embed(
    source: tyro.conf.Positional[str],
    *,
    model: str,
    out: Path,
    engine: Engine = "here",
    shards: int | None = None,
    shard: str | None = None,
    workers: int | None = None,
    devices: tuple[str, ...] = (),
    address: str | None = None,
    cpus: float = 1,
    gpus: float = 0,
    patience: float | None = None,
    status: bool = False,
    columns: mapping.Words = (),
) -> dict:
    """Embed many items: a Parquet file a shard, with vectors, captions, paths, metadata and thumbnails.

    The same command again makes what is missing, and touches nothing that is whole. Where processes die of a record it is found
    and put aside. Several commands may work on one folder at a time, on several machines, if all see the folder.

    Args:
        source: A folder of files, a manifest, tar shards, a Hugging Face data set on disk, or an address (s3://…).
        model: The folder that `sensorium train` wrote, a published checkpoint's, or its id on the Hub.
        out: The folder of the shards.
        engine: Where the shards are made: in this process, in processes that may die, as tasks of Ray, or in the jobs of a SLURM
            array, for which a script is written.
        shards: Into how many parts the items are dealt; by default one for each 10,000.
        shard: Make (and tell of) this one alone, 3, or every one whose number is 3 by remainder, 3/1000.
        workers: How many processes, each with a model of its own; by default 1. With SLURM: how many jobs at the same time.
        devices: The GPUs to use, a process for each: 0 1 2 3.
        address: Of a Ray cluster; "auto" for the one that this machine belongs to. Without it one is started here.
        cpus: Cores that a task of Ray takes.
        gpus: GPUs that a task of Ray takes.
        patience: Seconds that 128 items may take, compiling for them included: a process that hangs for longer is ended, and the
            record at which it hung found and put aside, as one that kills is. Not with the engine "here".
        status: Only say what is done and what is missing.
        columns: Which column of a table holds what: text=Beschreibung image=Bild; by default what the model was trained with.
    """
    from sensorium import bulk
    from sensorium.bulk import slurm
    from sensorium.bulk.job import Job
    from sensorium.bulk.read import about
    from sensorium.cli import place

    start = time.perf_counter()
    if re.match(r"[A-Za-z][\w+.-]+:/", str(out)):
        raise main.WrongUsage(
            f"--out {out}: shards go into a folder. Give one, and then: sensorium collection import FOLDER ADDRESS"
        )
    if status:
        mine = None if shard is None else slurm.share(shard, about(out)["identity"]["shards"])
        return _told(out, start, mine)
    _used(engine, {"--workers": workers, "--devices": devices or None, "--address": address}, (cpus, gpus) != (1, 0))
    if patience is not None and engine == "here":
        raise main.WrongUsage(
            f"--patience {patience:g} with --engine here: it would end this very process; give --engine processes"
        )
    if workers is not None and workers < 1:
        raise main.WrongUsage(f"--workers {workers}: expected at least 1; leave it out for the default")
    place.folder(out)
    given = mapping.given(columns)
    said = mapping.trained_on(model, source).get("columns") if given is None else given
    spec = bulk.Spec.of(source, model, out, shards, said, main.USED, patience)
    mine = range(spec.shards) if shard is None else slurm.share(shard, spec.shards)
    found = bulk.status(out, True, mine).done if (out / "spec.json").exists() else {}
    missing = [i for i in mine if i not in found]
    _keep_programs()
    if engine == "slurm" or not missing:
        Job(spec)  # whether it can be opened, and is the one that the folder holds
    if engine == "slurm":
        return _told(out, start) | {"script": _script(spec, missing, workers) if missing else None}
    if missing:
        _make(_engine(engine, workers, devices, address, (cpus, gpus)), spec, missing)
    return _told(out, start, mine)


def show(result: dict, console: "Console") -> None:
    from rich.markup import escape

    out, missing = escape(shlex.quote(result["out"])), result["missing"]
    counts = ", ".join(f"{width} numbers of {name}" for name, width in result["fields"].items())
    console.print(f"{result['done']} of {result['shards']} shards are whole: {result['rows']} rows ({counts}) in {out}")
    if missing:
        some = ", ".join(map(str, missing[:_SHOWN])) + (" …" if len(missing) > _SHOWN else "")
        console.print(f"[yellow]{len(missing)} are missing:[/] {some}", highlight=False)
    problems.tell(console, "records were put aside, as processes died of them or stopped", result["quarantined"])
    problems.tell(console, "problems", result["problems"])
    if result.get("script"):
        console.print(f"Next: sbatch {escape(shlex.quote(result['script']))}", style="dim", highlight=False, soft_wrap=True)


def _used(engine: str, given: Mapping[str, Any], takes: bool) -> None:
    """`WrongUsage` for what the engine would not look at."""
    known = {"processes": {"--workers", "--devices"}, "slurm": {"--workers"}, "ray": {"--address"}}.get(engine, set())
    idle = [name for name, value in given.items() if value is not None and name not in known]
    idle += ["--cpus and --gpus"] if takes and engine != "ray" else []
    if idle:
        raise main.WrongUsage(
            f"{idle[0]} with --engine {engine}, which has no use for it: see --engine in sensorium embed --help"
        )


def _make(run: "Run", spec: "Spec", missing: Sequence[int]) -> None:
    """Has the shards made; a `SensoriumError` at the end if any were given up."""
    from sensorium.cli.progress import progress

    items = 0
    with progress() as bar:
        task = bar.add_task("embedding shards", total=len(missing), text="")

        def step(more: int) -> None:
            nonlocal items
            items += more
            bar.update(task, text=f"{items} items")

        failed = run(spec, missing, lambda report: bar.advance(task), step)
    if failed:
        causes = "; ".join(f"shard {i}: {why}" for i, why in failed.items())
        raise SensoriumError(f"{len(failed)} of {len(missing)} shards were given up, the others are whole. {causes}")


def _engine(engine: str, workers: int | None, devices: tuple[str, ...], address: str | None, takes: tuple[float, float]) -> "Run":
    from sensorium.bulk.cluster import ray
    from sensorium.bulk.processes import processes
    from sensorium.bulk.run import here

    if engine == "processes":
        return partial(processes, workers=1 if workers is None else workers, devices=devices)
    return partial(ray, address=address, cpus=takes[0], gpus=takes[1]) if engine == "ray" else here


def _script(spec: "Spec", missing: Sequence[int], at_once: int | None) -> str:
    """Writes the batch script beside the shards, and says where."""
    from sensorium.bulk import slurm
    from sensorium.core.files import write_text

    use = [word for file in spec.use for word in ("--use", file)]
    command = [sys.executable, "-m", "sensorium", *use, "embed", spec.source, "--model", spec.model, "--out", spec.out]
    command += ["--shards", str(spec.shards), "--engine", "processes", "--workers", "1", *mapping.words(spec.columns)]
    command += [] if spec.patience is None else ["--patience", f"{spec.patience:g}"]
    path = Path(spec.out) / "embed.sbatch"
    write_text(path, slurm.script(command, missing, spec.shards, at_once or 0))
    return str(path)


def _told(out: Path, start: float, numbers: Sequence[int] | None = None) -> dict[str, Any]:
    from sensorium.bulk import status
    from sensorium.bulk.read import about

    found = status(out, numbers=numbers)
    reports = list(found.done.values())
    return {
        "out": str(out),
        "shards": len(reports) + len(found.missing),
        "done": len(reports),
        "missing": list(found.missing),
        "rows": sum(report.rows for report in reports),
        "fields": {name: width for report in reports for name, width in report.fields.items()},
        "quarantined": [asdict(one) for report in reports for one in report.quarantined],
        "problems": about(out)["problems"] + [asdict(one) for report in reports for one in report.problems],
        "seconds": round(time.perf_counter() - start, 2),
    }


def _keep_programs() -> None:
    """Compiled programs are kept for the processes that are started, too: each one that dies would compile all of them again."""
    import jax

    from sensorium.cli import device

    device.prepare()
    values = jax.config.values
    if values["jax_enable_compilation_cache"] and values["jax_compilation_cache_dir"]:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", values["jax_compilation_cache_dir"])
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
