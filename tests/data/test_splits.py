import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.core.errors import UnknownName
from sensorium.core.protocols import Item
from sensorium.data import split

ITEMS = tuple(Item(f"item{i}") for i in range(4000))


@given(st.sets(st.text(max_size=8)), st.floats(0, 1))
def test_every_item_is_on_one_side(ids, fraction):
    items = tuple(Item(id) for id in ids)
    train, validation = split(items, "train", fraction), split(items, "validation", fraction)
    assert sorted([item.id for item in train + validation]) == sorted(ids)
    assert split(items, "all", fraction) == items


def test_items_stay_on_their_side_when_others_come():
    few = set(item.id for item in split(ITEMS[::3], "validation"))
    assert few == {item.id for item in split(ITEMS, "validation")} & {item.id for item in ITEMS[::3]}


def test_the_fraction_is_kept_about_and_sides_only_grow():
    sizes = [len(split(ITEMS, "validation", fraction)) for fraction in (0, 0.1, 0.5, 1)]
    assert sizes[0] == 0 and sizes[3] == 4000 and abs(sizes[1] - 400) < 60 and abs(sizes[2] - 2000) < 130
    assert set(i.id for i in split(ITEMS, "validation", 0.1)) <= set(i.id for i in split(ITEMS, "validation", 0.2))


def test_the_sides_are_the_same_on_every_machine():
    assert [item.id for item in split(ITEMS[:32], "validation")] == ["item1", "item4", "item16", "item29", "item31"]


def test_an_unknown_split_is_told():
    with pytest.raises(UnknownName, match=r"'valid'.*Did you mean 'validation'"):
        split(ITEMS, "valid")
    with pytest.raises(ValueError, match="fraction 2"):
        split(ITEMS, "train", 2.0)
