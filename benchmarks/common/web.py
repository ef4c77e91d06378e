"""HTTP by hand, for clients that should cost less than the server that they ask; and the server as a process of its own."""

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HOST = "localhost"


@contextmanager
def serving(*arguments: str, limit: float = 900) -> Iterator[tuple[int, subprocess.Popen[bytes], Path]]:
    """(port, process, its log) of `sensorium serve … --port 0`, once it listens, in `limit` s; it is ended afterwards."""
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "log"
        with open(log, "wb") as out:
            line = [sys.executable, "-m", "sensorium", "serve", *arguments, "--port", "0"]
            process = subprocess.Popen(line, stdout=out, stderr=out)
        try:
            yield _port(process, log, limit), process, log
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
            process.kill()


def _port(process: subprocess.Popen[bytes], log: Path, limit: float) -> int:
    end = time.monotonic() + limit
    while time.monotonic() < end and process.poll() is None:
        if match := re.search(r" items at http://[^ ]+:(\d+)/", log.read_text(errors="replace")):
            return int(match[1])
        time.sleep(0.1)
    raise SystemExit(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")


class Line:
    """A connection that is kept open."""

    def __init__(self, port: int):
        self._port, self._ends = port, None

    async def ask(self, request: bytes, seconds: float = 120) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body); (0, {}, b"") where the server broke the connection off."""
        try:
            async with asyncio.timeout(seconds):
                if self._ends is None:
                    self._ends = await asyncio.open_connection(HOST, self._port)
                return await self._answer(*self._ends, request)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ValueError):
            self.close()
            return 0, {}, b""

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        writer.write(request)
        with suppress(ConnectionError):  # it may have answered, and closed, before all was sent
            await writer.drain()
        status, head = 100, [""]
        while status < 200:  # the server only says that it goes on
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(head[0].split()[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = b"" if request.startswith(b"HEAD ") else await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close" or "content-length" not in headers:
            self.close()
        return status, headers, body

    def close(self) -> None:
        if self._ends is not None:
            self._ends[1].close()
        self._ends = None


def request(method: str, path: str, body: bytes = b"", media: str = "application/json", more: str = "") -> bytes:
    """The bytes of a request; `more`: further lines of its head, each with its end."""
    length = f"Content-Type: {media}\r\nContent-Length: {len(body)}\r\n" if method == "POST" else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{length}{more}\r\n".encode("utf-8", "replace") + body


def form(values: dict[str, Any], files: dict[str, bytes]) -> tuple[bytes, str]:
    """A form with files as (body, media type)."""
    edge = "edge-of-a-part"
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in values.items()
    ]
    for name, content in files.items():
        head = f'--{edge}\r\nContent-Disposition: form-data; name="{name}"; filename="a"\r\n'
        parts.append(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + content + b"\r\n")
    return b"".join(parts) + f"--{edge}--\r\n".encode(), f"multipart/form-data; boundary={edge}"


def json_body(value: Any) -> bytes:
    return json.dumps(value).encode()


def held(pid: int, name: str = "VmRSS") -> float:
    """MB that a process holds now, or with VmHWM at most so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
