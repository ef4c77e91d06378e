"""How many can ask a served collection at once? 100 clients for 60 s, then more than it takes; errors, p50 and p99.

    python benchmarks/serve.py --model runs/photos --collection photos.collection

The server is a process of its own, as `sensorium serve` starts it; the clients share the machine with it, ask over connections
that stay open, one request after another: 70 % texts, 15 % pictures or sounds, 10 % "more like this", 5 % thumbnails.
Then a burst of several times as many as wait at most: they have to be told 503 quickly, and afterwards all is as before.
Writes results/serve.json.
"""

import argparse
import asyncio
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
from common.record import write
from common.web import Line, form, held, json_body, request, serving

from sensorium.search import Collection
from sensorium.search.taking import vectors

CLIENTS, SECONDS, BURST = 100, 60.0, 800
SHARES = {"text": 0.70, "file": 0.15, "like": 0.10, "thumbnail": 0.05}
WORDS = ("a", "red", "green", "blue", "small", "large", "circle", "square", "triangle", "above", "below", "left", "dog", "car")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--note", default="", help="what else the machine did meanwhile")
    given = parser.parse_args()
    ids, files = _known(given.collection)
    with serving(given.model, "--collection", str(given.collection), "--rate", "1000") as (port, process, _):
        rng = np.random.default_rng(0)
        asyncio.run(_load(port, ids, files, given.clients, 5.0, rng))  # what it compiles for larger batches
        load = asyncio.run(_load(port, ids, files, given.clients, given.seconds, rng))
        before = held(process.pid)
        burst = asyncio.run(_burst(port, files))
        after = asyncio.run(_load(port, ids, files, 8, 3.0, rng))
        memory = {"held before the burst MB": round(before), "most MB": round(held(process.pid, "VmHWM"))}
    result = {
        "question": "how many can ask a served collection at once, and what does one more than it takes get?",
        "arguments": {"clients": given.clients, "seconds": given.seconds, "shares": SHARES, "items": len(ids)},
        "load": load,
        "burst": burst,
        "after the burst": after,
        "memory": memory,
        "note": given.note,
        "load of the machine": [round(x, 1) for x in os.getloadavg()],
    }
    write("serve", result)
    print(result)
    return int(bool(load["errors"] or after["errors"] or burst["other"]))


def _known(place: Path) -> tuple[list[str], list[tuple[str, bytes]]]:
    """The ids of some items, and some of their files by kind."""
    collection = Collection.open(place)
    ids = vectors(collection, collection.fields[0], most=200)[0]
    paths = [(kind, collection.file(id, kind)) for id in ids for kind in ("image", "audio")]
    found = [(kind, path.read_bytes()) for kind, path in paths if path is not None and path.is_file()]
    return ids, found[:100]


def _question(ids: list[str], files: list[tuple[str, bytes]], rng: np.random.Generator) -> tuple[str, bytes]:
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    if kind == "text":
        text = " ".join(rng.choice(WORDS, rng.integers(2, 9)))
        return kind, request("POST", "/search", json_body({"text": text, "k": 20}))
    if kind == "file" and files:
        name, content = files[int(rng.integers(len(files)))]
        return kind, request("POST", "/search", *form({"k": 20}, {name: content}))
    one = ids[int(rng.integers(len(ids)))]
    if kind == "like":
        return kind, request("POST", "/search", json_body({"like": [one], "k": 20}))
    return "thumbnail", request("GET", f"/items/{one}/thumbnail")


async def _load(
    port: int, ids: list[str], files: list[tuple[str, bytes]], clients: int, seconds: float, rng: np.random.Generator
) -> dict:
    """What `clients` that ask one thing after another get."""
    told: dict[str, list[float]] = {kind: [] for kind in SHARES}
    codes: Counter[str] = Counter()
    end = time.perf_counter() + seconds

    async def client(own: np.random.Generator) -> None:
        line = Line(port)
        while time.perf_counter() < end:
            kind, asked = _question(ids, files, own)
            began = time.perf_counter()
            status, _, _ = await line.ask(asked)
            told[kind].append(time.perf_counter() - began)
            codes[str(status)] += 1
        line.close()

    began = time.perf_counter()
    await asyncio.gather(*(client(own) for own in rng.spawn(clients)))
    every = np.concatenate([np.array(times) for times in told.values()])
    return {
        "requests": len(every),
        "requests/s": round(len(every) / (time.perf_counter() - began), 1),
        "errors": {status: n for status, n in codes.items() if status != "200"},
        "ms": {"all": _spread(every), **{kind: _spread(np.array(times)) for kind, times in told.items() if times}},
    }


async def _burst(port: int, files: list[tuple[str, bytes]]) -> dict:
    """`BURST` that send a file at the same moment, each once."""
    name, content = files[0]
    asked = request("POST", "/search", *form({"k": 20}, {name: content}))
    told: dict[int, list[float]] = {}
    missing = 0

    async def client() -> None:
        nonlocal missing
        line = Line(port)
        began = time.perf_counter()
        status, headers, _ = await line.ask(asked)
        told.setdefault(status, []).append(time.perf_counter() - began)
        missing += status == 503 and "retry-after" not in headers
        line.close()

    await asyncio.gather(*(client() for _ in range(BURST)))
    other = {str(status): len(times) for status, times in told.items() if status not in (200, 503)}
    spread = {str(status): _spread(np.array(times)) for status, times in told.items()}
    return {
        "clients": BURST,
        "answered": {str(s): len(t) for s, t in told.items()},
        "ms": spread,
        "503 without Retry-After": missing,
        "other": other,
    }


def _spread(seconds: np.ndarray) -> dict[str, float]:
    p50, p99, most = (float(x) for x in 1000 * np.percentile(seconds, [50, 99, 100]))
    return {"p50": round(p50, 1), "p99": round(p99, 1), "most": round(most, 1)}


if __name__ == "__main__":
    raise SystemExit(main())
