"""What the gate lets in: asked as ASGI itself, so that a test says what arrives, and when."""

import asyncio
import json

import pytest

from sensorium.core.errors import SensoriumError
from sensorium.serve.bounds import Bounds, Door, is_loopback
from sensorium.serve.gate import Gate
from sensorium.serve.meters import Meters

MB = 2**20
FORM = {"content-type": "multipart/form-data; boundary=x"}


class App:
    """Says how many bytes it was given."""

    def __init__(self):
        self.bodies: list[bytes] = []

    async def __call__(self, scope, receive, send):
        self.bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(len(self.bodies[-1])).encode()})


def gate(door=None, **bounds) -> tuple[Gate, App]:
    app = App()
    return Gate(app, door or Door(), Bounds(**bounds), Meters(), b"<p>token?</p>"), app


async def request(gate, *parts: bytes, method="POST", path="/search", query=b"", address="1.2.3.4", pause=0.0, **headers):
    """(status, headers, body) of a request whose body comes in parts."""
    named = {"host": "localhost:8000", **{name.replace("_", "-"): value for name, value in headers.items()}}
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts[:-1]]
    waiting += [{"type": "http.request", "body": parts[-1] if parts else b"", "more_body": False}]
    sent = []

    async def receive():
        await asyncio.sleep(pause)
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    lines = [(name.encode(), value.encode("latin-1")) for name, value in named.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": lines, "client": (address, 1)}
    await gate(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], {key.decode(): value.decode() for key, value in sent[0]["headers"]}, body


def ask(gate, *parts: bytes, **more):
    return asyncio.run(request(gate, *parts, **more))


def test_a_body_passes_as_it_came_and_every_answer_has_the_headers():
    one, app = gate()
    status, headers, _ = ask(one, b"ab", b"", b"cd")
    assert status == 200 and app.bodies == [b"abcd"]
    assert "default-src 'none'" in headers["content-security-policy"] and headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("media", "most"), [({}, 1000), (FORM, 5000)])
def test_too_many_bytes_are_refused_before_anything_reads_them(media, most):
    one, app = gate(upload=5000, text=1000)
    media = {name.replace("-", "_"): value for name, value in media.items()}
    assert ask(one, b"x" * most, **media)[0] == 200
    status, headers, body = ask(one, b"", content_length=str(most + 1), **media)
    assert status == 413 and str(most) in json.loads(body)["error"] and headers["connection"] == "close"
    assert ask(one, *[b"x" * 100] * (most // 100 + 1), **media)[0] == 413  # without saying before how many
    assert ask(one, *[b"x" * 100] * (most // 100 + 1), content_length="1", **media)[0] == 413
    assert ask(one, b"", content_length="-1", **media)[0] == 400
    assert [len(body) for body in app.bodies] == [most] and one._held == 0


def test_what_does_not_arrive_in_time_is_refused():
    one, app = gate(seconds=0.1)
    assert ask(one, b"x", pause=0.5)[0] == 408 and not app.bodies


def test_all_together_may_hold_so_much():
    one, app = gate(upload=MB, held=int(2.5 * MB), rate=1e12)

    async def three():
        return await asyncio.gather(
            *(request(one, b"x" * MB, b"", pause=0.05, content_type="multipart/form-data") for _ in range(3))
        )

    answers = asyncio.run(three())
    assert sorted(answer[0] for answer in answers) == [200, 200, 503]
    assert next(answer for answer in answers if answer[0] == 503)[1]["retry-after"]
    assert len(app.bodies) == 2 and one._held == 0
    assert ask(one, b"x" * MB, content_type="multipart/form-data")[0] == 200  # it recovers


def test_an_address_may_send_so_much():
    one, _ = gate(upload=8 * MB, rate=1000.0)
    codes = [ask(one, b"x" * 8 * MB, content_type="multipart/form-data")[0] for _ in range(3)]
    assert codes == [200, 200, 429]
    status, headers, _ = ask(one, b"x" * 500_000, content_type="multipart/form-data")
    assert status == 429 and 100 < int(headers["retry-after"]) < 600
    small = [ask(one, b"x", content_type="multipart/form-data", address="9.9.9.9")[0] for _ in range(130)]
    assert small == [200] * 128 + [429] * 2  # decoding a small file is work too
    assert ask(one, b"x" * MB, content_type="multipart/form-data", address="5.6.7.8")[0] == 200  # others may


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost"}, 200),
        ({"host": "127.0.0.1:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "photos.lan"}, 200),
        ({"host": "evil.example"}, 421),
        ({"host": "localhost.evil.example"}, 421),
        ({"host": "localhost@evil.example"}, 421),
        ({"host": ""}, 421),
        ({"origin": "http://localhost:8000"}, 200),
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site", "sec_fetch_mode": "navigate"}, 403),
    ],
)
def test_only_pages_of_this_server_may_ask(headers, status):
    one, app = gate(Door(names=("photos.lan",)))
    assert ask(one, b"{}", **headers)[0] == status and len(app.bodies) == (status == 200)


def test_a_link_to_the_page_is_no_attack():
    one, _ = gate()
    assert ask(one, method="GET", path="/", sec_fetch_site="cross-site", sec_fetch_mode="navigate")[0] == 200


def test_the_token_is_asked_for_everywhere_but_for_the_health():
    one, app = gate(Door(token="secret"))
    assert ask(one, b"{}")[0] == 401 and ask(one, b"{}", authorization="Bearer wrong")[0] == 401
    assert ask(one, method="GET", path="/metrics")[0] == 401 and not app.bodies
    assert ask(one, method="GET", path="/", accept="text/html")[2] == b"<p>token?</p>"
    assert ask(one, method="GET", path="/", query=b"token=wrong")[0] == 401
    assert ask(one, method="GET", path="/healthz")[0] == 200
    assert ask(one, b"{}", authorization="Bearer secret")[0] == 200
    status, headers, _ = ask(one, method="GET", path="/", query=b"token=secret")
    assert status == 303 and headers["location"] == "/"
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert ask(one, b"{}", cookie=cookie.partition(";")[0])[0] == 200
    assert ask(one, b"{}", cookie="sensorium-8000=secre")[0] == 401


def test_bounds_that_let_nothing_through_are_refused():
    with pytest.raises(SensoriumError, match="room for at least one upload"):
        Bounds(upload=2 * MB, held=MB)
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("0.0.0.0") and not is_loopback("192.168.0.2")
