"""What fits a contract, and what does not."""

from typing import ClassVar

import numpy as np

from sensorium.core.protocols import Item, Modality, Source


class Depth:
    """The least that is a modality: a user's own has no base class to inherit from."""

    kind: ClassVar[str] = "depth"
    folder: ClassVar[str] = "depth"
    suffixes: ClassVar[tuple[str, ...]] = (".npy",)
    tower: ClassVar[str] = "convnet"
    name = "depth"

    def prepare(self, raw):
        return {"depth": np.asarray(raw)}

    def blank(self):
        return {"depth": np.zeros(3)}

    def show(self, x):
        return x


class Rows:
    def __len__(self):
        return 2

    def read(self, rows, draw=0):
        return {"group": np.asarray(rows)}


def test_a_class_fits_by_what_it_has_and_not_by_what_it_inherits():
    assert isinstance(Depth(), Modality) and not isinstance(Rows(), Modality)
    assert isinstance(Rows(), Source) and not isinstance(Depth(), Source)
    assert not isinstance([1, 2], Source)


def test_items_do_not_share_what_they_hold():
    first, second = Item("a"), Item("b", {"text": ("x", "y")})
    first.metadata["licence"] = "CC0"
    assert second.metadata == {} and first.raws == {} and second.raws["text"] == ("x", "y")
    assert Item("b", {"text": ("x", "y")}) == second
