"""Can a stranger break a served collection? 10,000 hostile requests: no answer of 5xx but "too busy", and bounded memory.

    python benchmarks/serve_fuzz.py --model runs/photos --collection photos.collection

Seeded, so that what was found is found again (`--seed`): requests of every address with wrong, missing, huge and doubled values;
broken JSON, forms and heads; media that are cut short, damaged, empty, or bombs; ranges, hosts, origins and paths that are none.
`--schemathesis PATH` lets that tool try the API by its own description too (`pip install schemathesis` into an environment of its
own: its plugin would be part of every run of pytest). Writes results/serve_fuzz.json.
"""

import argparse
import asyncio
import json
import os
import re
import struct
import subprocess
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from common.record import write
from common.web import Line, form, held, json_body, request, serving

from sensorium.search import Collection
from sensorium.search.taking import vectors

REQUESTS, CLIENTS, MOST_MB = 10_000, 8, 1500
EXAMPLES = 100
"""What schemathesis tries of each address in a phase."""
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2**31, 2**63, -(2**70), 1.5, 1e308, float("nan"), "", " ", "red", "a" * 3000, "a" * 100_000),
    *("\0", "\ud800", "\u202e", "𝕳", "../../etc/passwd", "%00", "'; DROP TABLE", "<script>", "{{7*7}}", "image", "text"),
    *([], [[]], ["red"] * 40, [None], {}, {"a": {"b": []}}, [1] * 1000),
)
ASKED: tuple[Any, ...] = (
    *(one for one in VALUES if not isinstance(one, (list, dict))),
    *("id = ", "((((((((" * 500, "id IN (" + "'a'," * 5000 + "'b')", "NOT " * 3000 + "true", "id LIKE '%" + "_" * 2000 + "'"),
    *("1=1; DROP TABLE items", "vector = 1", "id > 5", "regexp_match(id, '(a+)+$')", "id = '\\'", '"id" = \'a', "/*", "--"),
)
"""Of the address: what is no filter, or one that costs."""
PATHS = ("/search", "/embed", "/caption", "/ask", "/generate", "/why")
WISHES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/caption", {"id": "00001", "candidates": 2}),
    ("/ask", {"id": "00001", "question": "what colour is the circle", "answers": ["red", "blue"]}),
    ("/generate", {"text": "a small red circle", "to": "image", "n": 1, "seed": 1, "steps": 2, "guidance": 1.5}),
    ("/why", {"id": "00001", "text": "red", "k": 5}),
)
NAMES = ("text", "without", "like", "k", "within", "where", "id", "question", "answers", "candidates", "to", "n", "seed", "steps")
KINDS = ("image", "audio", "video", "sensor", "text", "file", "", "ünï", "a" * 300)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--beside", nargs="*", default=[])
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--schemathesis", help="the command of that tool")
    given = parser.parse_args()
    beside = ["--beside", *given.beside] if given.beside else []
    asked = (given.model, "--collection", str(given.collection), "--rate", "1000", *beside)
    with serving(*asked) as (port, process, log):
        start, began = held(process.pid), time.perf_counter()
        sizes: list[int] = []
        found = asyncio.run(
            _attack(port, _media(given.collection), given.requests, given.seed, lambda: sizes.append(round(held(process.pid))))
        )
        seconds = time.perf_counter() - began
        print(found, flush=True)  # what comes now may take long
        tool = _tool(given.schemathesis, port, given.seed) if given.schemathesis else None
        alive = process.poll() is None
        memory: dict[str, Any] = {"start MB": round(start), "MB after each tenth": sizes}
        memory |= {"end MB": round(held(process.pid)), "most MB": round(held(process.pid, "VmHWM"))}
        bugs = log.read_text(errors="replace").count("Traceback")
    result = {
        "question": "can a stranger break a served collection?",
        "arguments": {"requests": given.requests, "seed": given.seed, "beside": len(given.beside)},
        **found,
        "seconds": round(seconds),
        "memory": memory,
        "alive at the end": alive,
        "tracebacks in its log": bugs,
        "schemathesis": tool,
    }
    write("serve_fuzz", result)
    print(json.dumps(result, indent=1))
    broken = found["bad"] or bugs or not alive or memory["most MB"] - start > MOST_MB or (tool and tool["failed"])
    return int(bool(broken))


async def _attack(port: int, media: list[bytes], requests: int, seed: int, tenth: Callable[[], None]) -> dict[str, Any]:
    """What came of so many requests; `tenth` is called after each tenth of them."""
    codes: Counter[str] = Counter()
    bad: list[dict[str, Any]] = []
    numbers = iter(range(requests))

    async def client() -> None:
        line = Line(port)
        for number in numbers:
            rng = np.random.default_rng([seed, number])
            hostile = ATTACKS[int(rng.integers(len(ATTACKS)))]
            status, headers, body = await line.ask(hostile(rng, media), 120)
            codes[str(status)] += 1
            if codes.total() % max(1, requests // 10) == 0:
                tenth()
            busy = status == 503 and "retry-after" in headers
            broken = status == 0 and hostile is not lengths  # there the server may hang up while it is still being sent to
            if broken or (status >= 500 and not busy) or (status >= 400 and not _told(headers, body)):
                bad.append({"number": number, "attack": hostile.__name__, "status": status, "body": body[:200].decode("latin-1")})
        line.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    line = Line(port)
    health, _, _ = await line.ask(request("GET", "/healthz"))
    well, _, _ = await line.ask(request("POST", "/search", json_body({"text": "red"})))
    return {"statuses": dict(sorted(codes.items())), "bad": bad[:50], "bad in all": len(bad), "afterwards": [health, well]}


def _told(headers: dict[str, str], body: bytes) -> bool:
    """Whether an error is a sentence. The first of those in the way (the HTTP parser, ranges) answer in plain text."""
    if not body or not headers.get("content-type", "").startswith("application/json"):  # of a HEAD there is no body
        return True
    return list(json.loads(body)) == ["error"]


def _any(rng: np.random.Generator, things: Any) -> Any:
    return things[int(rng.integers(len(things)))]


def values(rng: np.random.Generator, media: list[bytes]) -> bytes:
    """JSON with names that there are and values that there should not be."""
    body = {str(_any(rng, NAMES)): _any(rng, VALUES) for _ in range(int(rng.integers(0, 5)))}
    if rng.random() < 0.4:
        body |= {"text": "red", "question": "what?"}
    return request("POST", _any(rng, PATHS), json.dumps(body).encode("utf-8", "surrogatepass"))


def nearly(rng: np.random.Generator, media: list[bytes]) -> bytes:
    """What a model would answer, mostly but for one value."""
    path, whole = _any(rng, WISHES)
    body = whole | ({str(_any(rng, sorted(whole))): _any(rng, VALUES)} if rng.random() < 0.6 else {})
    return request("POST", path, json.dumps(body).encode("utf-8", "surrogatepass"))


def broken_json(rng: np.random.Generator, media: list[bytes]) -> bytes:
    whole = b'{"text": "red", "k": 3, "like": ["a", "b"]}'
    kinds = (
        b"[" * 50_000,
        b'{"a":' * 20_000,
        whole[: int(rng.integers(len(whole)))],
        rng.bytes(200),
        b"\xff\xfe" + whole,
        b"null",
        b"1e999",
    )
    return request("POST", _any(rng, PATHS), _any(rng, kinds))


def files(rng: np.random.Generator, media: list[bytes]) -> bytes:
    """A form with hostile media, of the right or of a wrong kind."""
    sent = {str(_any(rng, KINDS[:4])): _hostile(rng, media) for _ in range(int(rng.integers(1, 4)))}
    fields = {"question": "what is it?"} if rng.random() < 0.3 else {"k": int(rng.integers(1, 50))} if rng.random() < 0.5 else {}
    return request("POST", _any(rng, PATHS), *form(fields, sent))


def broken_form(rng: np.random.Generator, media: list[bytes]) -> bytes:
    body, kind = form({str(_any(rng, NAMES)): "x"}, {str(_any(rng, KINDS)): b"abc"})
    edges = (
        kind,
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=x",
        f"{kind}; charset=rot13",
    )
    edges += (
        f"{kind}; charset=unicode_escape",
        "multipart/form-data; boundary=" + "b" * 4000,
        "application/x-www-form-urlencoded",
    )
    damaged = bytearray(body)
    for _ in range(int(rng.integers(0, 6))):
        damaged[int(rng.integers(len(damaged)))] = int(rng.integers(256))
    many = b"".join(b"--edge-of-a-part\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n" for _ in range(3000))
    return request(
        "POST", _any(rng, PATHS), _any(rng, (bytes(damaged), many, body[: int(rng.integers(len(body)))])), _any(rng, edges)
    )


def heads(rng: np.random.Generator, media: list[bytes]) -> bytes:
    """Hosts, origins, ranges and lengths that are none."""
    lines = ("Range: bytes=5-1", "Range: bytes=" + ",".join(f"{i}-{i}" for i in range(800)), "Range: bytes=-", "Range: x")
    lines += (
        "Origin: null",
        "Origin: http://evil.example",
        "Sec-Fetch-Site: cross-site",
        "Authorization: Bearer x",
        "Cookie: a;=;;",
    )
    lines += ("X-Forwarded-For: 8.8.8.8", "Expect: 100-continue", "Accept-Encoding: ,", "X: " + "y" * 20_000, "If-Range: x")
    path = _any(
        rng, ("/items/00001/file/image", "/items/00001/file/audio", "/", "/map", "/about", "/metrics", "/healthz", "/docs")
    )
    return request("GET", path, more=f"{_any(rng, lines)}\r\n")


def paths(rng: np.random.Generator, media: list[bytes]) -> bytes:
    parts = (
        "items",
        "..",
        "%2e%2e",
        "%2f",
        "etc",
        "passwd",
        "file",
        "image",
        "thumbnail",
        "%00",
        "page",
        "%ff",
        "00001",
        "//",
        "?field=",
        "a" * 3000,
    )
    path = "/" + "/".join(str(_any(rng, parts)) for _ in range(int(rng.integers(1, 6))))
    return request(_any(rng, ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW")), path)


def addresses(rng: np.random.Generator, media: list[bytes]) -> bytes:
    """What is asked for in the address: pages of items and maps."""
    path, names = _any(rng, (("/items", ("after", "k", "where")), ("/items", ("k", "where")), ("/map", ("field",))))
    wishes = {"after": "00100", "k": 20, "where": "id > '00005'"}
    given = [
        (name, wishes.get(name) if rng.random() < 0.4 else _any(rng, ASKED))
        for name in names
        for _ in range(int(rng.integers(3)))
    ]
    return request("GET", f"{path}?{urlencode(given, errors='surrogatepass')}")


def lengths(rng: np.random.Generator, media: list[bytes]) -> bytes:
    said = _any(rng, ("-1", "99999999999999", "1e3", "", "0x10", "40000000"))
    head = f"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: {said}"
    head += "\r\n\r\n"
    chunked = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    many = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    return _any(rng, (head.encode(), chunked + many * 8 + b"0\r\n\r\n", chunked + b'f\r\n{"text": "red"}\r\n0\r\n\r\n'))


def real(rng: np.random.Generator, media: list[bytes]) -> bytes:
    """Among all of them, some that are as they should be."""
    return request("POST", "/search", json_body({"text": "a red circle", "k": 5}))


ATTACKS: tuple[Callable[[np.random.Generator, list[bytes]], bytes], ...] = (
    *(values, nearly, nearly, files, files, files, broken_json, broken_form, heads, paths, addresses, lengths, real),
)


def _hostile(rng: np.random.Generator, media: list[bytes]) -> bytes:
    """Media of the collection that were damaged, or what is none from the start."""
    whole = _any(rng, media)
    ways = int(rng.integers(6))
    if ways == 0:
        return whole[: int(rng.integers(len(whole)))]
    if ways == 1:
        damaged = bytearray(whole)
        for _ in range(int(rng.integers(1, 30))):
            damaged[int(rng.integers(min(len(damaged), 2000)))] = int(rng.integers(256))
        return bytes(damaged)
    if ways == 2:
        return whole[:64] + rng.bytes(int(rng.integers(5000)))
    return _any(rng, BOMBS) if ways == 3 else whole if ways == 4 else rng.bytes(int(rng.integers(300)))


def _png(width: int, height: int, bits: int = 8, colour: int = 2) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    zeros = zlib.compress(bytes(min(20_000_000, width * height)), 9)
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zeros) + chunk(b"IEND", b"")


def _wav(rate: int, channels: int, size: int) -> bytes:
    form_ = struct.pack("<HHIIHH", 1, channels, rate, (rate * channels * 2) % 2**32, (channels * 2) % 2**16, 16)
    return (
        b"RIFF"
        + struct.pack("<I", min(36 + size, 2**32 - 1))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form_
        + b"data"
        + struct.pack("<I", size)
    )


BOMBS = (
    *(b"", b"\0", _png(60_000, 60_000), _png(7000, 7000), _png(1, 20_000), _png(0, 5), _png(3000, 3000, 16, 6)),
    *(_wav(2**31, 1, 2**31 - 64), _wav(8000, 60_000, 100), _wav(0, 0, 0), _wav(8000, 1, 2**32 - 1) + b"\1" * 4000),
    *(b"GIF89a\xff\xff\xff\xff\xf7\0\0" + b"," * 3000, b"\0\0\0\x08ftyp" * 20_000, b"\x1aE\xdf\xa3" + b"\x01" * 3000),
    *(b"\0\0\0\x18ftypmp42" + struct.pack(">I", 2**31) + b"moov", b"OggS" + b"\xff" * 3000, b"fLaC" + b"\0" * 3000),
    *(
        b"time," + b"a," * 50_000 + b"\n" + b"1," * 50_000,
        b"1e999\n" * 5000,
        b"PK\3\4" + b"\0" * 500,
        b"\x93NUMPY\1\0\xff\xff(" + b"9," * 9000,
    ),
    *(
        b"RIFF\xff\xff\xff\xffWEBPVP8L" + b"\xff" * 400,
        b"II*\0" + b"\xff" * 3000,
        b"<svg onload=alert(1)>",
        b"%PDF-1.4",
        b"\xff\xd8\xff\xe0" * 4000,
    ),
)


def _media(place: Path) -> list[bytes]:
    collection = Collection.open(place)
    found = []
    for id in vectors(collection, collection.fields[0], most=20)[0]:
        paths = (collection.file(id, kind) for kind in ("image", "audio", "video", "sensor"))
        found += [path.read_bytes() for path in paths if path is not None and path.stat().st_size < 2_000_000]
    return found


def _tool(command: str, port: int, seed: int) -> dict[str, Any]:
    """What schemathesis finds that the API's own description lets through or forbids: server errors."""
    before = asyncio.run(_answers(port))
    line = [command, "run", f"http://localhost:{port}/openapi.json", "--checks", "not_a_server_error", "--seed", str(seed)]
    line += ["--max-examples", str(EXAMPLES), "--generation-database", "none", "--continue-on-failure"]
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=place, env={**os.environ, "NO_COLOR": "1"})
    statuses = asyncio.run(_answers(port)) - before
    return {"requests": statuses.total(), "statuses": dict(sorted(statuses.items())), "failed": done.returncode != 0} | (
        {"told": done.stdout[-3000:]} if done.returncode else {}
    )


async def _answers(port: int) -> Counter[str]:
    """How many answers of each status the server has given, as it tells itself."""
    line = Line(port)
    _, _, body = await line.ask(request("GET", "/metrics"))
    line.close()
    found: Counter[str] = Counter()
    for status, n in re.findall(r'sensorium_requests_total{.*status="(\d+)"} (\S+)', body.decode()):
        found[status] += round(float(n))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
