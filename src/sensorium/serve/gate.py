"""The one place that every request passes before anything reads it: who asks, how much, how fast, and for how long.

It is plain ASGI around the whole application. A request's body is taken in here, byte by byte counted, and only then given
on: no parser, of no route, sees one that is too large, too slow or too many. (Parsers have limits of their own, which skip
parts with files, or are off by default.)
"""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractContextManager, nullcontext, suppress
from http.cookies import CookieError, SimpleCookie
from math import ceil
from typing import Any
from urllib.parse import parse_qs

from sensorium.serve.bounds import Bounds, Door, Refused
from sensorium.serve.crowd import Crowd
from sensorium.serve.meters import Meters

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

QUESTIONS = ("/search", "/embed", "/why")
"""Paths that count as questions, which the model and the collection answer together. What takes long has lines of its own."""
OPEN = ("/healthz", "/page/style.css")
"""Paths that ask for no token: they tell nothing of the collection."""
LEAST = 2**17
"""Bytes that a request with files counts for at least: decoding a small one is work too."""
SMALL = 2**20
"""Bytes that are taken in of a question that is sent away."""
CLIENTS = 4096
"""Addresses whose use is remembered."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
}


class Gate:
    """`app` behind the gate. `locked`: the page that a browser gets which has no token."""

    def __init__(self, app: App, door: Door, bounds: Bounds, meters: Meters, locked: bytes = b""):
        self._app, self._door, self._bounds, self._meters, self._locked = app, door, bounds, meters, locked
        self._held = 0
        self._crowd = Crowd(bounds.waiting, bounds.patience)
        meters.watch("questions", "Questions that are being answered.", lambda: self._crowd.inside)
        meters.watch("wait_seconds", "How long one more question would wait.", lambda: self._crowd.wait)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> (bytes it may send, when that was)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:  # a web socket, of which there are none here
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        began, told = time.perf_counter(), _Told(send)
        taken = 0
        try:
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            self._door.check(scope["method"], scope["path"], headers)
            cookie = self._admit(scope, headers)
            if cookie is not None:
                return await _answer(told, 303, b"", {"location": "/", "set-cookie": cookie})
            line: AbstractContextManager[None] = nullcontext()
            if scope["path"] in QUESTIONS:
                await self._room(headers, receive)
                line = self._crowd.one()
            body = await self._taken(scope, headers, receive)
            taken = len(body)
            try:
                with line:
                    given, body = _given(body, receive), b""  # so that it is let go once it is read
                    await self._app(scope, given, told)
            finally:
                self._held -= taken
        except Refused as error:
            self._meters.refused(error.status)
            page = self._locked if error.status == 401 and "text/html" in _header(scope, b"accept") else b""
            await _refuse(told, error, page)
        finally:
            self._meters.answered(scope, told.status, time.perf_counter() - began, taken)

    def _admit(self, scope: MutableMapping[str, Any], headers: dict[str, str]) -> str | None:
        """`Refused` without the token. The cookie to set, where the token stands in the address: a browser opened the link."""
        if not self._door.token or scope["path"] in OPEN:
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        name = f"sensorium-{headers.get('host', '').rpartition(':')[2]}"  # cookies do not tell ports apart
        if scope["path"] == "/" and given and self._door.knows(given):
            return f"{name}={given}; HttpOnly; SameSite=Strict; Path=/"
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._door.knows(bearer.strip()):
            return None
        if self._door.knows(_cookie(headers.get("cookie", ""), name)):
            return None
        raise Refused(401, "this server asks for its token: 'Authorization: Bearer …', or open the link that it printed")

    async def _room(self, headers: dict[str, str], receive: Receive) -> None:
        """`Refused` where too many ask. What is small is taken in and thrown away before: who is hung up on while he still sends
        may never see the answer."""
        try:
            self._crowd.check()
        except Refused:
            promised = headers.get("content-length", "")
            if promised.isascii() and promised.isdigit() and int(promised) <= SMALL:
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        while (await receive()).get("more_body"):
                            pass
            raise

    async def _taken(self, scope: MutableMapping[str, Any], headers: dict[str, str], receive: Receive) -> bytes:
        """The whole body, or `Refused`. What is taken counts as held until the answer is out."""
        files = headers.get("content-type", "").lower().startswith("multipart/")
        most = self._bounds.upload if files else self._bounds.text
        address = (scope.get("client") or ("",))[0]
        promised = headers.get("content-length", "0")
        if not promised.isascii() or not promised.isdigit():
            raise Refused(400, "Content-Length is no number")
        if int(promised) > most:
            raise Refused(413, f"{promised} bytes: at most {most} are taken at once {'with' if files else 'without'} files")
        if self._held + int(promised) > self._bounds.held:
            raise Refused(503, "too much is being sent here at the moment", 2)
        if files:
            self._spend(address, LEAST)
        body, whole = bytearray(), False
        try:
            async with asyncio.timeout(self._bounds.seconds):
                await self._fill(body, most, address, LEAST if files else 0, receive)
            whole = True
            return bytes(body)
        except TimeoutError:
            raise Refused(408, f"the request did not arrive within {self._bounds.seconds:g} s") from None
        finally:
            self._held -= 0 if whole else len(body)

    async def _fill(self, body: bytearray, most: int, address: str, paid: int, receive: Receive) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "the client left before its request was whole")
            part, more = message.get("body", b""), message.get("more_body", False)
            if len(body) + len(part) > most:
                raise Refused(413, f"more than {most} bytes: that is the most that is taken at once")
            if self._held + len(part) > self._bounds.held:
                raise Refused(503, "too much is being sent here at the moment", 2)
            self._spend(address, max(0, len(body) + len(part) - paid) - max(0, len(body) - paid))
            self._held += len(part)
            body += part

    def _spend(self, address: str, size: int) -> None:
        """Counts bytes of an address; `Refused` once it has sent more than its rate lets it."""
        most, now = max(2.0 * self._bounds.upload, 64.0 * LEAST), time.monotonic()
        left, then = self._buckets.pop(address, (most, now))
        left = min(most, left + (now - then) * self._bounds.rate)
        enough = left >= size
        self._buckets[address] = (left - size if enough else left, now)
        if len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)
        if not enough:
            raise Refused(429, "too much was sent from this address", ceil((size - left) / self._bounds.rate))


class _Told:
    """`send`, with the headers that every answer has; remembers the status."""

    def __init__(self, send: Send):
        self._send, self.status = send, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            there = {name.lower() for name, _ in message.get("headers", [])}
            more = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in there]
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await self._send(message)


def _given(body: bytes, receive: Receive) -> Receive:
    """What the application receives: the body at once, then whatever comes (that the client left)."""
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def given() -> Message:
        return parts.pop() if parts else await receive()

    return given


async def _refuse(told: _Told, error: Refused, page: bytes) -> None:
    if told.status:  # the answer has begun: it can only be broken off
        raise error
    again = {} if error.again is None else {"retry-after": str(error.again)}
    # What was not read of the body stays unread: the connection cannot be used again.
    headers = {"content-type": "text/html; charset=utf-8" if page else "application/json", "connection": "close", **again}
    await _answer(told, error.status, page or json.dumps({"error": str(error)}).encode(), headers)


async def _answer(told: _Told, status: int, body: bytes, headers: dict[str, str]) -> None:
    every = {"content-length": str(len(body)), "cache-control": "no-store", **headers}
    lines = [(name.encode(), value.encode("latin-1", "replace")) for name, value in every.items()]
    await told({"type": "http.response.start", "status": status, "headers": lines})
    await told({"type": "http.response.body", "body": body})


def _header(scope: MutableMapping[str, Any], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found else ""
