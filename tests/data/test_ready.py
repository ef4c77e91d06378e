"""Things made ready in batches of few sizes."""

from string import ascii_lowercase

import pytest

from sensorium.data.ready import ROWS, batched
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
