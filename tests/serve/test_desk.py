"""A line of things that wait, with a worker that a test holds back."""

import asyncio
import threading
import time

import pytest

from sensorium.serve.bounds import Refused
from sensorium.serve.desk import Desk


class Slow:
    """Works on nothing until it is let."""

    def __init__(self):
        self.let, self.began, self.batches = threading.Event(), threading.Event(), []

    def __call__(self, things):
        self.began.set()
        assert self.let.wait(10)
        self.batches.append(list(things))
        return [ValueError("odd") if thing % 2 else 10 * thing for thing in things]


async def held(desk: Desk, slow: Slow, things) -> list[asyncio.Task]:
    """Tasks that ask, the first of which is being worked on while the others wait."""
    tasks = [asyncio.create_task(desk.ask(things[0]))]
    while not slow.began.is_set():
        await asyncio.sleep(0.001)
    tasks += [asyncio.create_task(desk.ask(thing)) for thing in things[1:]]
    await asyncio.sleep(0.01)
    return tasks


def test_what_waits_is_worked_on_together_and_errors_are_their_own():
    slow = Slow()
    desk = Desk(slow, batch=3)

    async def go():
        tasks = await held(desk, slow, [0, 2, 3, 4, 6])
        slow.let.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(go())
    desk.close()
    assert slow.batches == [[0], [2, 3, 4], [6]]
    assert [r for r in results if isinstance(r, int)] == [0, 20, 40, 60] and isinstance(results[2], ValueError)


def test_a_full_line_is_said_at_once_and_it_recovers():
    slow = Slow()
    desk = Desk(slow, waiting=2)

    async def go():
        tasks = await held(desk, slow, [0, 2, 4])
        began = time.perf_counter()
        with pytest.raises(Refused, match="others wait already") as error:
            await desk.ask(6)
        quick = time.perf_counter() - began
        slow.let.set()
        return quick, error.value, await asyncio.gather(*tasks), await desk.ask(8)

    quick, refused, before, after = asyncio.run(go())
    desk.close()
    assert quick < 1 and refused.status == 503 and refused.again and refused.again >= 1
    assert before == [0, 20, 40] and after == 80


def test_what_waits_too_long_is_sent_away_and_not_worked_on():
    slow = Slow()
    desk = Desk(slow, seconds=0.05)

    async def go():
        tasks = await held(desk, slow, [0, 2])
        with pytest.raises(Refused):
            await tasks[1]
        gone = asyncio.create_task(desk.ask(4))
        await asyncio.sleep(0.01)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        slow.let.set()
        return await tasks[0], await desk.ask(6)

    assert asyncio.run(go()) == (0, 60)
    desk.close()
    assert slow.batches == [[0], [6]]


def test_a_worker_that_fails_fails_for_those_alone():
    def inverse(things: list[int]) -> list[float]:
        return [1 / thing for thing in things]

    desk = Desk(inverse)

    async def go():
        with pytest.raises(ZeroDivisionError):
            await desk.ask(0)
        return await desk.ask(4)

    assert asyncio.run(go()) == 0.25
    desk.close()
    with pytest.raises(Refused):
        asyncio.run(desk.ask(4))
