import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from sensorium.bulk import trail as room
from sensorium.bulk.trail import GivenUp, Trail


def worked(path: Path, size: int, killers: set[int], chance: list[int], monkey: int) -> tuple[Trail, int]:
    """A shard that is done in the end, and how often its process died: at a killer always, and by chance before some steps."""
    deaths, step = 0, 0
    while True:
        trail, seen = Trail.open(path, size), set()
        assert sorted([k for low, high in trail.pieces for k in range(low, high)] + [*trail.bad]) == list(range(size))
        for piece in list(trail.pieces):
            trail.at(piece)
            step += 1
            if step in chance or killers & set(range(*piece)):
                deaths += 1
                break
            seen |= set(range(*piece))
        else:
            assert seen == set(range(size)) - trail.bad.keys()
            return trail, deaths
        assert deaths < monkey, "it does not end"


@settings(max_examples=25)
@given(some.data())
def test_whatever_kills_is_found_and_nothing_else(data):
    size = data.draw(some.integers(1, 40))
    killers = data.draw(some.sets(some.integers(0, size - 1), max_size=4))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "BLOCK", 8)
        trail, deaths = worked(Path(folder) / "trail.json", size, killers, [], 100)
    assert trail.bad.keys() == killers
    assert deaths <= len(killers) * (2 + 2 + 2)  # a block of 8 twice, its half and quarter once, the record twice
    assert all("killed by it 2 times" in why for why in trail.bad.values())


@pytest.mark.parametrize("chance", [[1], [3], [2, 5], [1, 4, 7, 9]])
def test_deaths_by_chance_blame_no_record(tmp_path, chance):
    trail, deaths = worked(tmp_path / "trail.json", 3 * room.BLOCK, set(), chance, 10)
    assert not trail.bad and deaths == len(chance)
    if len(chance) == 1:
        assert sorted(trail.pieces) == [(0, 128), (128, 256), (256, 384)]


def test_a_piece_that_is_too_much_at_once_goes_on_in_halves(tmp_path):
    for _ in range(room.CHANCE):
        trail = Trail.open(tmp_path / "trail.json", 300)
        trail.at((128, 256))
    trail = Trail.open(tmp_path / "trail.json", 300)
    assert trail.pieces[0:2] == [(128, 192), (192, 256)] and not trail.bad
    assert set(trail.pieces) == {(0, 128), (128, 192), (192, 256), (256, 300)}


def test_where_most_fails_the_records_are_not_to_blame(tmp_path):
    trail = Trail.open(tmp_path / "trail.json", 30)
    with pytest.raises(GivenUp, match=r"17 of 30 records .* as: it is broken"):
        while trail.pieces:
            trail.failed(trail.pieces[0], "it is broken")
    assert len(Trail.open(tmp_path / "trail.json", 30).bad) == 17
