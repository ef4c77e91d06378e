"""Overload: who is one too many is told so at once, by hand-made clocks and workers."""

import asyncio
import json
from typing import Any

import pytest
from serve.test_gate import App, request

from sensorium.serve.bounds import Bounds, Door, Refused
from sensorium.serve.crowd import FEW, Crowd, Pace
from sensorium.serve.desk import Desk
from sensorium.serve.gate import Gate
from sensorium.serve.meters import Meters

MEDIA: dict[str, Any] = {"content_type": "multipart/form-data; boundary=x"}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def full(crowd: Crowd) -> Refused | None:
    try:
        crowd.check()
    except Refused as error:
        return error
    return None


def test_a_pace_is_the_mean_of_late():
    pace = Pace(0.5)
    assert pace.seconds == 0
    pace.tell(3, 1)
    pace.tell(1, 4)
    assert pace.seconds == pytest.approx((0.5 * 3 + 1) / (0.5 * 1 + 4))


def test_who_would_wait_too_long_is_sent_away_and_all_is_well_when_the_others_have_left():
    clock = Clock()
    crowd = Crowd(most=1000, patience=2.05, clock=clock)
    for _ in range(20):  # one after another, with long pauses in which nobody is here
        with crowd.one():
            clock.now += 0.1
        clock.now += 50
    lines = []
    while full(crowd) is None:
        lines.append(crowd.one())
        lines[-1].__enter__()
    assert len(lines) == 21 and crowd.wait == pytest.approx(2.1)  # 0.1 s each
    error = full(crowd)
    assert error is not None and error.status == 503 and error.again == 3
    for line in lines[:2]:
        clock.now += 0.1
        line.__exit__(None, None, None)
    assert full(crowd) is None and crowd.inside == 19
    for line in lines[2:]:  # they leave together, as a batch does
        line.__exit__(None, None, None)
    assert crowd.inside == 0 and full(crowd) is None


def test_one_that_took_long_does_not_lock_out_the_next_few():
    clock = Clock()
    crowd = Crowd(most=1000, patience=2.0, clock=clock)
    with crowd.one():
        clock.now += 60  # the first of its kind is compiled
    lines = [crowd.one() for _ in range(FEW)]
    for line in lines:
        assert full(crowd) is None
        line.__enter__()
    assert full(crowd) is not None


class Held(App):
    """Answers when it is let."""

    def __init__(self):
        super().__init__()
        self.let = asyncio.Event()

    async def __call__(self, scope, receive, send):
        await self.let.wait()
        await super().__call__(scope, receive, send)


def test_an_overload_is_said_at_once_and_it_recovers():
    async def go():
        app = Held()
        gate = Gate(app, Door(), Bounds(waiting=5), Meters())
        tasks = [asyncio.create_task(request(gate, b"x" * 1000, content_length="1000", **MEDIA)) for _ in range(40)]
        done, waits = await asyncio.wait(tasks, timeout=0.5)
        early = [task.result() for task in done]
        app.let.set()
        return early, [await task for task in waits], await request(gate, b"{}"), gate, app

    early, late, after, gate, app = asyncio.run(go())
    assert [status for status, _, _ in early] == [503] * 35 and [status for status, _, _ in late] == [200] * 5
    for _, headers, body in early:
        assert 1 <= int(headers["retry-after"]) <= 60 and "others are being answered" in json.loads(body)["error"]
    assert after[0] == 200 and gate._held == 0 and gate._crowd.inside == 0
    assert app.bodies.count(b"x" * 1000) == 5  # nobody read those of the others


def test_slow_uploads_keep_nobody_out():
    async def go():
        gate = Gate(App(), Door(), Bounds(waiting=2), Meters())
        slow = [asyncio.create_task(request(gate, b"x", b"y", pause=0.2, **MEDIA)) for _ in range(10)]
        await asyncio.sleep(0.05)
        quick = await request(gate, b"{}")
        return quick[0], [(await task)[0] for task in slow]

    quick, slow = asyncio.run(go())
    assert quick == 200 and set(slow) <= {200, 503} and 200 in slow


def test_what_would_wait_too_long_at_a_desk_is_sent_away_at_once():
    async def go():
        desk = Desk(list, seconds=1.0)
        desk._pace.tell(1.0, 8)  # 8 a second
        desk._line.extend([(0, None)] * 7)  # type: ignore[list-item]  # none of them is ever looked at
        assert desk.wait == pytest.approx(1.0)
        desk._line.append((0, None))  # type: ignore[arg-type]
        try:
            with pytest.raises(Refused) as error:
                desk._enter(1)
        finally:
            desk._line.clear()
            desk.close()
        return error.value

    refused = asyncio.run(go())
    assert refused.status == 503 and refused.again == 2
