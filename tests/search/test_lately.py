from concurrent.futures import ThreadPoolExecutor

import pytest
from search.drivers import rows

from sensorium.core.errors import UnknownName
from sensorium.search.lately import LONG, Lately
from sensorium.search.memory import Memory
from sensorium.search.where import Compare


class Counting(Memory):
    """Remembers what was asked of it."""

    def __init__(self):
        super().__init__()
        self.asked: list[list[str]] = []

    def get(self, ids, columns=None):
        self.asked.append(list(ids))
        return super().get(ids, columns)


@pytest.fixture
def store() -> Counting:
    made = Counting()
    made.upsert(rows(["a", "b", "c"], n=[1.0, 2.0, 3.0], text=["x", "y" * LONG, "z"]))
    return made


def test_a_row_is_read_once_and_again_when_the_rows_have_changed(store):
    lately = Lately(store, ["n"])
    assert [row["n"] for row in lately.get(["c", "a", "c"])] == [3, 1, 3] and store.asked == [["c", "a"]]
    assert [row["n"] for row in lately.get(["a", "b"])] == [1, 2] and store.asked[1:] == [["b"]]
    store.upsert(rows(["a"], n=[9.0], text=["x"]))
    for _ in range(2):
        assert [row["n"] for row in lately.get(["a", "c"])] == [9, 3] and len(store.asked) == 3
    store.delete(Compare("id", "=", "a"))
    with pytest.raises(UnknownName, match="'a'"):
        lately.get(["a"])
    assert lately.get([]) == []


def test_what_is_remembered_is_bounded(store):
    lately = Lately(store, ["n", "text"], most=1)
    lately.get(["a", "b", "c"])
    assert list(lately._rows) == ["c"]  # "b" is too long, "a" was read first
    assert lately.get(["b"])[0]["text"] == "y" * LONG and list(lately._rows) == ["c"]


def test_many_threads_read_what_is_there_at_the_time(store):
    lately = Lately(store, ["n"])

    def read(_: int) -> list[list[float]]:
        return [[row["n"] for row in lately.get(["a", "b"])] for _ in range(200)]

    with ThreadPoolExecutor(4) as pool:
        reading = pool.map(read, range(4))
        for n in range(100):
            store.upsert(rows(["a", "b"], n=[float(n), float(n)], text=["", ""]))
        found = list(reading)
    for own in found:
        later = [pair for pair in own if pair != [1.0, 2.0]]
        assert all(a == b for a, b in later) and later == sorted(later)
    assert [row["n"] for row in lately.get(["a", "b"])] == [99, 99]
