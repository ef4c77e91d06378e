"""What holds of all items that are made as they are asked for."""

import pickle
from collections.abc import Sequence

from sensorium.data import split
from sensorium.data.listing import Lazy
from sensorium.data.sides import TRAIN_OR_VALIDATION, known


def check_lazy(items) -> None:
    """Lazy items say of themselves what the items say that are made, and some of them are still lazy."""
    assert isinstance(items, Lazy) and isinstance(items, Sequence)
    made = tuple(items)
    names, said = items.sides()
    assert names == [item.group or item.id for item in made] and said == [_said(item) for item in made]
    for side in ("train", "validation", "test"):
        some = split(items, side, 0.3, 0.3)
        assert list(some) == list(split(made, side, 0.3, 0.3)) and isinstance(some, Lazy)
        assert list(split(some, side, 0.3, 0.3)) == list(some) and (
            len(some) == len(made) or some.fingerprint() != items.fingerprint()
        )
    assert pickle.loads(pickle.dumps(items)).fingerprint() == items.fingerprint()


def _said(item) -> str:
    """The split that an item itself says; a word that names none is metadata like any other."""
    word = item.metadata.get("split", "")
    return word if known(word) or word == TRAIN_OR_VALIDATION else ""
