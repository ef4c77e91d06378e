"""Does the pipeline feed the training? Pictures a second beside PyTorch's loader and WebDataset; first batch; large manifests.

Needs a Python that has torch, webdataset, pillow and tokenizers for the peers:
    python -m venv peers && peers/bin/pip install torch==2.13.0 webdataset pillow tokenizers
    python benchmarks/data.py --peers peers/bin/python
All read the same 20,000 pictures of 256 pixels (half JPEG, half PNG) with captions, resize them to 64, tokenise, and make batches
of 128, in turn and on the same cores. Writes results/data.json.
"""

import argparse
import csv
import io
import json
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from common.record import write

PICTURES, BATCH, ROUNDS, SHARD = 20_000, 128, 3, 500
GOALS = {
    "over a plain loop": 1.5,
    "over WebDataset": 1.5,
    "busy": 0.95,
    "first batch": 2.0,
    "manifest s": 2.0,
    "manifest MB": 300,
}
WORDS = ("a", "the", "red", "green", "blue", "large", "small", "round", "old", "bright", "dog", "cat", "house", "tree", "river")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="a Python with torch and webdataset")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        name, *rest = given.part
        print(json.dumps(PARTS[name](*rest)))
        return 0
    if not given.peers:
        parser.error("--peers is needed: the figures are side by side")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        make(root, given.pictures)
        ours = {name: [sys.executable, __file__, "--part", name, place] for name in ("folder", "folder, 2 workers", "tar")}
        peer = str(Path(__file__).with_name("common") / "peer_loaders.py")
        peers = {name: [given.peers, peer, name, place, str(BATCH)] for name in ("plain", "webdataset")}
        rates = rounds(ours | peers, given.pictures)
        first = [part("first", place) for _ in range(ROUNDS)]
        large = {kind: part("manifest", place, kind) for kind in ("csv", "jsonl", "parquet")}
    busy = part("busy")
    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = max(medians["folder"], medians["folder, 2 workers"])
    found = {
        "over a plain loop": best / medians["plain"],
        "over WebDataset": medians["tar"] / medians["webdataset"],
        "busy": busy["busy"],
        "first batch": statistics.median(each["stream"] for each in first),
        "manifest s": max(each["seconds"] for each in large.values()),
        "manifest MB": max(each["MB"] for each in large.values()),
    }
    result = {
        "question": "pictures a second (256 to 64 px, with captions, batches of 128), beside the peers in one run",
        "pictures_per_second": {
            name: {"median": round(medians[name]), "all": [round(v) for v in values]} for name, values in rates.items()
        },
        "first_batch_seconds": first,
        "manifest_of_1e6_rows": large,
        "busy_share_of_the_demo's_step": busy,
        "found": {name: round(value, 3) for name, value in found.items()},
        "goals": GOALS,
    }
    write("data", result)
    print(json.dumps(result["pictures_per_second"], indent=2))
    for name, value in found.items():
        print(f"{name}: {value:.3f} (goal {GOALS[name]})")
    return 0


def rounds(commands: dict[str, list[str]], pictures: int) -> dict[str, list[float]]:
    """Pictures a second of each, taken in turn, so that a busy moment of the machine meets all."""
    rates: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds, read = json.loads(done.stdout.splitlines()[-1])
            assert read > pictures - 2 * BATCH, f"{name} read {read} of {pictures}"
            rates[name].append(read / seconds)
    return rates


def part(name: str, *arguments: str):
    line = [sys.executable, __file__, "--part", name, *arguments]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def make(root: Path, count: int) -> None:
    """Pictures like photographs (smooth, with some noise), captions of eight words, the same as tar shards, and a vocabulary."""
    from PIL import Image

    random = np.random.default_rng(0)
    (root / "set" / "images").mkdir(parents=True)
    (root / "set" / "captions").mkdir()
    (root / "tar").mkdir()
    (root / "words.json").write_text(json.dumps(WORDS))
    bases = [Image.fromarray(random.integers(0, 256, (8, 8, 3)).astype(np.uint8)).resize((256, 256), 3) for _ in range(64)]
    grain = random.normal(0, 6, (64, 256, 256, 1))
    shards = [tarfile.open(root / "tar" / f"part-{n:03d}.tar", "w") for n in range(-(-count // SHARD))]  # noqa: SIM115
    for i in range(count):
        pixels = np.asarray(bases[i % 64], np.float64)[:: 1 if i % 3 else -1] + grain[(i * 7 + i // 64) % 64]
        buffer = io.BytesIO()
        suffix, options = (".jpg", {"quality": 88}) if i % 2 else (".png", {"compress_level": 1})
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, {".jpg": "JPEG", ".png": "PNG"}[suffix], **options)
        caption = " ".join(random.choice(WORDS, 8)).encode()
        for folder, ending, content in (("images", suffix, buffer.getvalue()), ("captions", ".txt", caption)):
            (root / "set" / folder / f"{i:06d}{ending}").write_bytes(content)
            member = tarfile.TarInfo(f"{i:06d}{ending}")
            member.size = len(content)
            shards[i // SHARD].addfile(member, io.BytesIO(content))
    for shard in shards:
        shard.close()


def fields():
    from sensorium.modalities import Image, Text

    return (Image(size=64), Text(words=WORDS[1:], length=16))


def read(place: str, workers: int = 0) -> tuple[float, int]:
    """Seconds and pictures of one epoch, workers started and stopped within."""
    from sensorium import data
    from sensorium.data import Folder, batches

    items = data.scan(place).items
    source = Folder(items, fields(), remember=0)
    steps = len(items) // BATCH
    start, count = time.perf_counter(), 0
    with batches(source, BATCH, steps, workers=workers) as stream:
        for batch in stream:
            count += int(batch["image/here"].sum())
    return time.perf_counter() - start, count


def first(place: str) -> dict[str, float]:
    """Seconds to the first batch: from the start of the stream, and from nothing (the imports, and the scan of all files)."""
    start = time.perf_counter()
    from sensorium import data
    from sensorium.data import batches

    source = data.open(f"{place}/set", fields())
    opened = time.perf_counter()
    next(batches(source, BATCH))
    end = time.perf_counter()
    return {"stream": round(end - opened, 3), "imports and scan": round(opened - start, 3)}


def manifest(place: str, kind: str) -> dict[str, float]:
    """Seconds and megabytes to open a manifest of a million rows and to get an item from its middle."""
    rows, path = 1_000_000, Path(place) / f"large.{kind}"
    if kind == "csv":
        with path.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["image", "caption"])
            table.writerows((f"pictures/{i:07d}.jpg", f"caption number {i}") for i in range(rows))
    elif kind == "jsonl":
        with path.open("w") as file:
            file.writelines(f'{{"image": "pictures/{i:07d}.jpg", "caption": "caption number {i}"}}\n' for i in range(rows))
    else:
        code = (
            "import sys, pyarrow as pa, pyarrow.parquet as pq; n = range(1_000_000); "
            "pictures = [f'pictures/{i:07d}.jpg' for i in n]; captions = [f'caption number {i}' for i in n]; "
            "pq.write_table(pa.table({'image': pictures, 'caption': captions}), sys.argv[1])"
        )
        subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet  # noqa: F401  # what a library weighs is not what the manifest weighs

    from sensorium import data

    before, start = _resident(), time.perf_counter()
    listing = data.scan(path)
    item = listing.items[rows // 2]
    seconds = time.perf_counter() - start
    assert len(listing.items) == rows and item.raws["text"] == (f"caption number {rows // 2}",)
    return {"seconds": round(seconds, 3), "MB": round(_resident(peak=True) - before, 1)}


def busy() -> dict[str, float]:
    """The share of the demo's training in which its step did not wait for data."""
    from sensorium.recipes import senses
    from sensorium.training import fit

    entry = fit(senses(steps=120))[1][-1]
    return {"busy": entry["busy"], "samples_per_second": entry["samples_per_second"]}


def _resident(peak: bool = False) -> float:
    """MB of memory that this process holds, or held at most."""
    if peak:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


PARTS = {
    "folder": lambda place: read(f"{place}/set"),
    "folder, 2 workers": lambda place: read(f"{place}/set", 2),
    "tar": lambda place: read(f"{place}/tar"),
    "first": first,
    "manifest": manifest,
    "busy": busy,
}

if __name__ == "__main__":
    sys.exit(main())
