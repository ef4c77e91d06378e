"""How fast is a collection at 100,000 and at a million vectors, beside NumPy over a memory map, faiss, usearch and plain LanceDB?

    python benchmarks/search.py [--sizes 100000 1000000] [--parts exact ann open indexing] [--peers peers/bin/python]

512 numbers each, with metadata: draws from a mixture of 2,000 centres of unequal shares, as embeddings of real things are
clustered, with a noise of 0.7 of their size in all directions. Every way answers the same queries, one by one and 64 at once, and
every index looks into as much as a recall@10 of 0.99 takes, if it gets there. A part's figures are kept in results/search.json as
soon as it is done, beside those of earlier calls. `indexing`: pictures of 96 × 96 by a random CLIP (64 × 64, patches of 8, width
256, 6 layers), end to end, beside a plain loop of Pillow and `encode`, and beside sentence-transformers with the same checkpoint
(`--peers`: a Python that has it). Exits with 1 where a goal that was measured is missed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from common.record import HERE, write

WIDTH, K, GOOD, AT_ONCE, ASKED, BLOCK = 512, 10, 0.99, 64, 192, 8192
TURNS = 7
"""Of exact search and of NumPy, one after the other; their medians are told."""
NOISE = 0.7
"""Of the size of the centres."""
PATIENCE = 300.0
"""Seconds that a peer may take to build; then it is told how far it came."""
EXACTLY = "exact, one by one: of NumPy's queries/s"
GOALS = {"insert rows/s": 20_000.0, "recall@10": GOOD, "first answer s": 2.0, "private MB": 1500.0, "share in the model": 0.8}
GOALS |= {EXACTLY: 1.0}
Nearest = Callable[[np.ndarray], list[list[str]]]
"""Queries f32[Q D] -> the keys of the nearest of each."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--parts", nargs="+", default=["exact", "ann", "open", "indexing"])
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--peers", help="a Python with sentence-transformers")
    parser.add_argument("--place", type=Path, help="where collections are made, and kept; by default a folder that goes")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(opened(Path(given.child[0]), Path(given.child[1]))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        place = given.place or Path(folder)
        for n in given.sizes if set(given.parts) - {"indexing"} else []:
            keep(str(n), sized(place / str(n), n, given.parts))
            if given.place is None:
                shutil.rmtree(place / str(n))
        if "indexing" in given.parts:
            keep("indexing", indexing(place / "pictures", given.pictures, given.peers))
    return int(bool(missed(measured())))


def sized(place: Path, n: int, parts: Sequence[str]) -> dict[str, Any]:
    place.mkdir(parents=True, exist_ok=True)
    data = Data(place, n)
    out: dict[str, Any] = {"insert": inserted(place, data)}
    if "exact" in parts:
        out["exact"] = exact(place, data)
    if "ann" in parts:
        out["ann"] = {name: told(name, way, data) for name, way in ann(place, data).items()}
    if "open" in parts:
        from sensorium.search.lance import Lance

        Lance(place / "collection").optimize()  # as whoever makes a collection leaves it
        line = [sys.executable, __file__, "--child", str(place / "collection"), str(place / "queries.npy")]
        start = time.perf_counter()
        said = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
        out["open"] = said | {"whole process s": round(time.perf_counter() - start, 2)}
        print("open", out["open"], flush=True)
    return out


class Data:
    """Vectors over a memory map, queries, and the keys that are nearest to them."""

    def __init__(self, place: Path, n: int):
        path = place / "x.npy"
        if not path.exists():
            x = np.lib.format.open_memmap(path, "w+", np.float32, (n, WIDTH))
            for start in range(0, n, BLOCK):
                x[start : start + BLOCK] = draws(min(BLOCK, n - start), start)
            x.flush()
            np.save(place / "queries.npy", draws(ASKED, n))
        self.x = np.load(path, mmap_mode="r")
        self.queries: np.ndarray = np.load(place / "queries.npy")
        found: list[list[int]] = []
        for start in range(0, ASKED, AT_ONCE):
            found += blas(self.x, self.queries[start : start + AT_ONCE])
        self.truth = [{key(i) for i in some} for some in found]

    def recall(self, found: list[list[str]]) -> float:
        return sum(len(right & set(some)) for right, some in zip(self.truth, found, strict=True)) / (K * len(self.truth))


def draws(n: int, seed: int) -> np.ndarray:
    fixed, rng = np.random.default_rng(7), np.random.default_rng([1, seed])
    centres = fixed.normal(size=(2000, WIDTH)).astype(np.float32)
    x = centres[(2000 * rng.random(n) ** 2).astype(int)] + NOISE * rng.standard_normal((n, WIDTH), np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def key(i: int) -> str:
    return f"{i:08d}\t000000"


def blas(x: np.ndarray, queries: np.ndarray) -> list[list[int]]:
    """One product over the memory map, and the largest of each."""
    scores = (x @ queries.T).T
    best = np.argpartition(-scores, K, axis=1)[:, :K]
    return [some[np.argsort(-row[some])].tolist() for row, some in zip(scores, best, strict=True)]


def rows(x: np.ndarray, start: int) -> pa.Table:
    """As a collection of pictures has them."""
    ids, years = range(start, start + len(x)), np.arange(start, start + len(x)) % 50 + 1970
    record = '{{"id": "{:08d}", "paths": {{"image": "{:08d}.jpg"}}, "captions": [], "metadata": {{"year": {}}}}}'
    columns: dict[str, Any] = {"id": [key(i) for i in ids], "item": [f"{i:08d}" for i in ids]}
    columns |= {"part": pa.array([0] * len(x), pa.int32()), "parts": pa.array([1] * len(x), pa.int32())}
    columns |= {"starts": pa.nulls(len(x), pa.float64()), "ends": pa.nulls(len(x), pa.float64())}
    columns |= {name: pa.nulls(len(x), pa.string()) for name in ("passage", "stamp", "problems")}
    columns |= {"record": [record.format(i, i, year) for i, year in zip(ids, years.tolist(), strict=True)]}
    columns |= {"number_year": years.astype(float), "word_kind": ["image"] * len(x), "has_image": [True] * len(x)}
    columns["vector_image"] = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), WIDTH)
    return pa.table(columns)


def inserted(place: Path, data: Data) -> dict[str, Any]:
    """The rows of a collection upserted in blocks, and then 128 at once, as `sensorium index` writes them."""
    from sensorium.search.collection import described
    from sensorium.search.lance import Lance

    store, seconds = Lance(place / "collection"), 0.0
    store.describe(described("benchmark", None, {"image": "image"}, None))
    for start in range(0, len(data.x), BLOCK):
        block = rows(np.asarray(data.x[start : start + BLOCK]), start)
        seconds += timed(lambda: store.upsert(block))  # noqa: B023
    again = rows(np.asarray(data.x[:640]), 0)
    few = [timed(lambda i=i: store.upsert(again.slice(128 * i, 128))) for i in range(5)]
    out = {"insert rows/s": round(len(data.x) / seconds), "128 rows again s": round(float(np.median(few)), 3)}
    print(out, flush=True)
    return out


def exact(place: Path, data: Data) -> dict[str, Any]:
    """Where a collection compares one by one; beyond `EXACT` vectors it does not."""
    from sensorium.search.lance import EXACT, Lance

    ways: dict[str, Nearest] = {"NumPy over a memory map": lambda q: [[key(i) for i in some] for some in blas(data.x, q)]}
    store = Lance(place / "collection")
    if len(data.x) <= EXACT:
        ways["collection"] = lambda q: ids(store.search("vector_image", q, K))
    turns = [{name: speeds(way, data, 32) for name, way in ways.items()} for _ in range(TURNS)]
    out = {name: {what: float(np.median([turn[name][what] for turn in turns])) for what in turns[0][name]} for name in ways}
    if "collection" in ways:
        out["collection"]["recall@10"] = round(data.recall(ids(store.search("vector_image", data.queries, K))), 4)
    print(out, flush=True)
    return out


def ids(found: Any) -> list[list[str]]:
    return [[hit.id for hit in some] for some in found]


def ann(place: Path, data: Data) -> dict[str, Callable[[Data], dict[str, Any]]]:
    return {
        "collection": lambda data: ours(place, data),
        "faiss IVF-SQ8": with_faiss,
        "usearch": with_usearch,
        "plain LanceDB": lambda data: plain(place, data),
    }


def told(name: str, way: Callable[[Data], dict[str, Any]], data: Data) -> dict[str, Any]:
    out = way(data)
    print(name, out, flush=True)
    return out


def ours(place: Path, data: Data) -> dict[str, Any]:
    """An index is made of fewer than a collection would make one of, where these are few."""
    from sensorium.search.lance import EXACT, Lance
    from sensorium.search.where import Compare

    store = Lance(place / "collection", exact=min(EXACT, len(data.x) // 2))
    start = time.perf_counter()
    index = store.optimize()["vector_image"]
    seconds = time.perf_counter() - start
    found = ids(store.search("vector_image", data.queries, K))
    out = {"build s": round(seconds, 1), "recall@10": round(data.recall(found), 4), "recall that it tells": index.recall}
    known = store._told("indexes")["vector_image"]
    out |= {"kind": index.kind, "cells": known["cells"], "looked into": known["probes"]}
    out |= speeds(lambda q: ids(store.search("vector_image", q, K)), data)
    where = Compare("number_year", "=", 1990.0)
    few = [timed(lambda q=q: store.search("vector_image", q[None], K, where)) for q in data.queries[:16]]
    return out | {"filtered to 2 % queries/s": round(1 / float(np.median(few)), 1)}


def with_faiss(data: Data) -> dict[str, Any]:
    import faiss

    cells = int(4 * len(data.x) ** 0.5)
    start = time.perf_counter()
    quantizer = faiss.IndexFlatIP(WIDTH)
    kind: Any = faiss.ScalarQuantizer.QT_8bit
    index: Any = faiss.IndexIVFScalarQuantizer(quantizer, WIDTH, cells, kind, faiss.METRIC_INNER_PRODUCT)
    some = np.sort(np.random.default_rng(0).choice(len(data.x), min(len(data.x), 40 * cells), replace=False))
    index.train(np.asarray(data.x[some]))
    for at in range(0, len(data.x), BLOCK):
        index.add(np.asarray(data.x[at : at + BLOCK]))
    seconds = time.perf_counter() - start

    def nearest(q: np.ndarray) -> list[list[str]]:
        return [[key(i) for i in some] for some in index.search(q, K)[1].tolist()]

    index.nprobe, before = 8, 0.0
    while (recall := data.recall(nearest(data.queries))) < GOOD and recall > before + 0.002:  # what it rounds, it does not find
        index.nprobe, before = index.nprobe * 2, recall
    out = {"build s": round(seconds, 1), "recall@10": round(recall, 4), "cells": cells, "looked into": index.nprobe}
    return out | speeds(nearest, data)


def with_usearch(data: Data) -> dict[str, Any]:
    from usearch.index import Index  # pyright: ignore[reportMissingImports]

    index = Index(ndim=WIDTH, metric="ip", dtype="f16")
    start, done = time.perf_counter(), 0
    for at in range(0, len(data.x), BLOCK):
        if time.perf_counter() - start > PATIENCE:
            return {"not built": f"{done} of {len(data.x)} vectors in {PATIENCE:.0f} s"}
        some = np.asarray(data.x[at : at + BLOCK])
        index.add(np.arange(at, at + len(some)), some)
        done += len(some)
    seconds = time.perf_counter() - start

    def nearest(q: np.ndarray) -> list[list[str]]:
        return [[key(i) for i in some] for some in np.atleast_2d(index.search(q, K).keys).tolist()]

    while (recall := data.recall(nearest(data.queries))) < GOOD and index.expansion_search < 1024:
        index.expansion_search *= 2
    out = {"build s": round(seconds, 1), "recall@10": round(recall, 4), "looked at": index.expansion_search}
    return out | speeds(nearest, data)


def plain(place: Path, data: Data) -> dict[str, Any]:
    """As its first page tells: rows added, the default index, a search."""
    import lancedb

    db, seconds = lancedb.connect(place / "plain"), 0.0
    table = db.create_table("rows", schema=rows(np.asarray(data.x[:1]), 0).schema, mode="overwrite")
    for at in range(0, len(data.x), BLOCK):
        block = rows(np.asarray(data.x[at : at + BLOCK]), at)
        began = time.perf_counter()
        table.add(block)
        seconds += time.perf_counter() - began
    out: dict[str, Any] = {"insert rows/s": round(len(data.x) / seconds)}

    def nearest(q: np.ndarray) -> list[list[str]]:
        asked: Any = (table.search(one, vector_column_name="vector_image") for one in q)
        asked = (one.distance_type("dot").limit(K) for one in asked)
        return [one.select(["id", "_distance"]).to_arrow()["id"].to_pylist() for one in asked]

    few = [timed(lambda q=q: nearest(q[None])) for q in data.queries[:4]]
    out["exact, one by one queries/s"] = round(1 / float(np.median(few)), 1)
    start = time.perf_counter()
    table.create_index(metric="dot", vector_column_name="vector_image")
    out |= {"build s": round(time.perf_counter() - start, 1), "recall@10": round(data.recall(nearest(data.queries)), 4)}
    return out | speeds(nearest, data)


def speeds(nearest: Nearest, data: Data, count: int = 128) -> dict[str, Any]:
    """Queries a second, after a first one of each."""
    nearest(data.queries[:1])
    singly = timed(lambda: [nearest(q[None]) for q in data.queries[:count]])
    batch = timed(lambda: [nearest(data.queries[i : i + AT_ONCE]) for i in range(0, 2 * AT_ONCE, AT_ONCE)])
    return {"one by one queries/s": round(count / singly, 1), "in batch queries/s": round(2 * AT_ONCE / batch, 1)}


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def opened(place: Path, queries: Path) -> dict[str, Any]:
    """In a process of its own: a collection opened, its first query answered, and the memory after some more."""
    began = time.perf_counter()
    from sensorium.search import Collection

    imported, asked = time.perf_counter(), np.load(queries)
    photos = Collection.open(place)
    first = photos.find(asked[0], {"text"}, K)
    done = time.perf_counter()
    for query in asked[1:]:
        photos.find(query, {"text"}, K)
    later = (time.perf_counter() - done) / (len(asked) - 1)
    kernel = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    private = sum(int(kernel[name].split()[0]) for name in ("Private_Clean", "Private_Dirty")) / 1024
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "first answer s": round(done - began, 2),
        "of it imports s": round(imported - began, 2),
        "later answers ms": round(1000 * later, 1),
        "hits": len(first),
        "private MB": round(private),
        "RSS MB": round(int(status["VmRSS"].split()[0]) / 1024),
        "most RSS MB": round(int(status["VmHWM"].split()[0]) / 1024),
    }


def indexing(place: Path, count: int, peers: str | None) -> dict[str, Any]:
    """Pictures of a folder as a collection; how much of the time the compiled model is at work."""
    from PIL import Image as Pillow

    if not peers:
        raise SystemExit("--peers is needed for `indexing`: it makes the checkpoint")
    peer = HERE / "common" / "peer_search.py"
    subprocess.run([peers, str(peer), "make", str(place / "model")], check=True)
    (place / "photos").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        coarse = Pillow.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8))
        coarse.resize((96, 96), Pillow.Resampling.BICUBIC).save(place / f"photos/{i:05d}.jpg", quality=85)
    out: dict[str, Any] = {"pictures": count, "collection": by_collection(place), "plain loop": by_loop(place)}
    said = subprocess.run([peers, str(peer), "encode", str(place)], capture_output=True, text=True, check=True).stdout
    out["sentence-transformers"] = json.loads(said.splitlines()[-1])
    print(out, flush=True)
    return out


def by_collection(place: Path) -> dict[str, Any]:
    import jax

    import sensorium
    from sensorium.search import Collection

    model, compiled = sensorium.load(place / "model"), Busy()
    model.encode(image=[np.zeros((96, 96, 3), np.uint8)] * 64)  # compiled
    inner = model._units

    def watched(*given: Any) -> Any:
        out = inner(*given)
        compiled.until(lambda: jax.block_until_ready(out))
        return out

    model._units = watched  # type: ignore[assignment]
    start = time.perf_counter()
    listing = sensorium.data.scan(place / "photos")
    Collection.update(model, listing.items, place / "collection", root=place / "photos", anew=True)
    seconds = time.perf_counter() - start
    share = compiled.seconds / seconds
    return {
        "images/s": round(len(listing.items) / seconds, 1),
        "seconds": round(seconds, 1),
        "share in the model": round(share, 3),
    }


class Busy:
    """How many seconds something was at work that does one thing after another, beside whoever asks it to."""

    def __init__(self):
        self.seconds, self._last, self._watch = 0.0, 0.0, ThreadPoolExecutor(1)

    def until(self, ready: Callable[[], Any]) -> None:
        asked = time.perf_counter()

        def wait() -> None:
            ready()
            now = time.perf_counter()
            self.seconds, self._last = self.seconds + now - max(asked, self._last), now

        self._watch.submit(wait)


def by_loop(place: Path) -> dict[str, Any]:
    """What a script would do: pictures opened one after another, 64 encoded at once, all kept in an array."""
    from PIL import Image as Pillow

    import sensorium

    model = sensorium.load(place / "model")
    model.encode(image=[np.zeros((96, 96, 3), np.uint8)] * 64)
    start, out, paths = time.perf_counter(), [], sorted((place / "photos").iterdir())
    for at in range(0, len(paths), 64):
        out.append(model.encode(image=[Pillow.open(path).convert("RGB") for path in paths[at : at + 64]])["image"])
    np.save(place / "loop.npy", np.concatenate(out))
    return {"images/s": round(len(paths) / (time.perf_counter() - start), 1)}


def keep(name: str, part: dict[str, Any]) -> None:
    """Puts what was measured now beside what was measured before."""
    parts = measured()
    parts[name] = {**parts.get(name, {}), **part, "load of the machine": [round(x, 1) for x in os.getloadavg()]}
    question = "how fast is a collection, and beside what?"
    write("search", {"question": question, "goals": GOALS, "measured": parts, "missed": missed(parts)})


def measured() -> dict[str, Any]:
    path = HERE / "results" / "search.json"
    return json.loads(path.read_text())["measured"] if path.exists() else {}


def missed(parts: dict[str, Any]) -> list[str]:
    """The goals that were measured and not reached."""
    out = []
    for name, part in parts.items():
        found = {**part.get("insert", {}), **part.get("ann", {}).get("collection", {})}
        found |= {**part.get("open", {}), **part.get("collection", {})}
        singly = {way: figures["one by one queries/s"] for way, figures in part.get("exact", {}).items()}
        if "collection" in singly:
            found[EXACTLY] = round(singly["collection"] / singly["NumPy over a memory map"], 3)
        for goal, limit in GOALS.items():
            less = goal in ("first answer s", "private MB")
            if goal in found and (found[goal] > limit if less else found[goal] < limit):
                out.append(f"{name}: {goal} {found[goal]}")
    return out


if __name__ == "__main__":
    sys.exit(main())
