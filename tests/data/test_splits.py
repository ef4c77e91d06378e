from itertools import combinations

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
    train, validation = (tuple(split(items, name, fraction)) for name in ("train", "validation"))
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


@given(
    st.lists(st.tuples(st.text(max_size=3), st.text(max_size=2)), unique_by=lambda pair: pair[0]),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
)
def test_a_group_stays_together_and_no_item_moves_when_others_come(pairs, fraction, test):
    items = tuple(Item(id, group=group) for id, group in pairs)
    sides = {name: split(items, name, fraction, test) for name in ("train", "validation", "test")}
    assert sorted(item.id for side in sides.values() for item in side) == sorted(id for id, _ in pairs)
    for a, b in combinations(sides, 2):
        assert not {item.group for item in sides[a]} & {item.group for item in sides[b]} - {""}
    for name, side in sides.items():
        assert split(items[::2], name, fraction, test) == tuple(item for item in items[::2] if item in side)


def test_a_group_goes_as_one():
    items = tuple(Item(f"item{i}", group=f"group{i % 20}") for i in range(400))
    sides = [{item.group for item in split(items, name, 0.5)} for name in ("train", "validation")]
    assert sides[0] and sides[1] and not sides[0] & sides[1] and len(sides[0] | sides[1]) == 20


def test_the_validation_items_are_the_same_whatever_the_test_share():
    assert split(ITEMS, "validation", 0.1, 0.3) == split(ITEMS, "validation", 0.1)
    assert abs(len(split(ITEMS, "test", 0.1, 0.3)) - 1200) < 120 and split(ITEMS, "test") == ()
    assert set(i.id for i in split(ITEMS, "test", 0.1, 0.2)) <= set(i.id for i in split(ITEMS, "test", 0.1, 0.3))


def test_a_split_of_the_items_own_is_honoured():
    own = tuple(
        Item(f"item{i}", metadata={"split": side}) for i, side in enumerate(["train", "dev", "test", "Val", "holdout", ""])
    )
    assert [item.id for item in split(own, "validation", 0.0)] == ["item1", "item3"]
    assert [item.id for item in split(own, "test", 1.0)] == ["item2"]
    assert [item.id for item in split(own, "train", 0.0)] == ["item0", "item4", "item5"]
    with pytest.raises(ValueError, match="more than all there is"):
        split(ITEMS, "train", 0.6, 0.6)
