"""Things made ready in batches of few sizes."""

from string import ascii_lowercase
from threading import Barrier

import pytest

from sensorium.data import ready
from sensorium.data.ready import ROWS, batched, begun, side_by_side
from sensorium.modalities import Text

TEXTS = [" ".join(["red"] * n) for n in (3, 30, 0, 14, 39, 15, 16, 1, 2, 3, 4, 5)]
FIELD = Text(words=("red", "blue"), alphabet=ascii_lowercase, length=40)


@pytest.mark.parametrize("shorten", [False, True], ids=["whole", "shortened"])
def test_each_thing_is_in_one_batch_as_its_field_makes_it(shorten):
    expected, seen = [FIELD.prepare(text) for text in TEXTS], []
    for rows, batch, size in batched(FIELD, TEXTS, shorten):
        assert len(rows) <= size and size in ROWS
        seen += rows.tolist()
        for at, row in enumerate(rows):
            for key in ("text", "text/mask"):
                kept = batch[key].shape[1]
                assert (batch[key][at] == expected[row][key][:kept]).all()
                assert not expected[row]["text/mask"][kept:].any(), "only filling is left out"
    assert sorted(seen) == list(range(len(TEXTS)))


def test_a_text_comes_at_the_least_length_that_holds_it_whatever_is_beside_it():
    used = {row: int(FIELD.prepare(text)["text/mask"].sum()) for row, text in enumerate(TEXTS)}
    assert {16, 17} <= set(used.values()), "texts at a border and one past it"
    for rows, batch, _ in batched(FIELD, TEXTS, shorten=True):
        for row in rows:
            assert batch["text"].shape[1] == next(length for length in (16, 32, 40) if length >= used[row])


def test_things_are_read_by_several_threads_in_their_order(monkeypatch):
    monkeypatch.setattr(ready, "READERS", 2)
    both = Barrier(2, timeout=60)

    def work(thing):
        both.wait()  # one alone would wait for ever
        return thing * 10

    assert side_by_side(work, [3, 1, 2, 0]) == [30, 10, 20, 0]
    assert side_by_side(lambda thing: thing, []) == []
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda thing: 1 // thing, [1, 0, 2])


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_each_is_given_once_the_next_has_begun(n):
    seen = []

    def starts():
        for i in range(n):
            seen.append(("begun", i))
            yield i

    for i in begun(starts()):
        seen.append(("given", i))
    assert [i for what, i in seen if what == "given"] == list(range(n))
    for i in range(n):
        after = seen.index(("begun", i + 1)) if i + 1 < n else -1
        assert seen.index(("given", i)) > after
