"""The sound tracks of videos as the sounds of their items, where these have no others."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import overload

from sensorium.core.errors import BadFile, MissingExtra
from sensorium.core.protocols import Item, Stored
from sensorium.data.listing import Lazy
from sensorium.modalities import MODALITIES, video_file

PROBED = 8
"""Items that are looked at where it would take too long to open all videos: those of one collection are of one kind."""


def with_sound(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Each video on this disk is asked by its header; of things elsewhere (`Stored`) the first `PROBED` speak for all."""
    here = tuple(_heard(item) if isinstance(_video(item), Path) and _sounds(item) else item for item in items)
    stored = [item for item in here if isinstance(_video(item), Stored)]
    if not any(_sounds(item) for item in stored[:PROBED]):
        return here
    return tuple(_heard(item) if isinstance(_video(item), Stored) else item for item in here)


def with_sounds(items: Sequence[Item]) -> Sequence[Item]:
    """The same of any items; lazy ones stay lazy, and their first `PROBED` speak for all. A video that turns out to be mute is
    then a missing sound (`sound_file.NoSound`)."""
    if isinstance(items, tuple):
        return with_sound(items)
    if isinstance(items, Lazy) and any(_sounds(item) for item in islice(items, PROBED)):
        return Heard(items)
    return items


class Heard(Sequence[Item]):
    """Lazy items whose videos are their sounds too."""

    def __init__(self, items: Lazy):
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, i: int) -> Item: ...
    @overload
    def __getitem__(self, i: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, i: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(i, slice):
            return tuple(self[k] for k in range(*i.indices(len(self))))
        return _heard(self.items[i])

    def sides(self) -> tuple[list[str], list[str]]:
        return self.items.sides()

    def fingerprint(self) -> str:
        return f"{self.items.fingerprint()} heard"


def _video(item: Item) -> object:
    """The video of an item that has no sound of its own; else None."""
    return item.raws.get("video", (None,))[0] if "audio" not in item.raws and "audio" in MODALITIES else None


def _heard(item: Item) -> Item:
    return item if _video(item) is None else replace(item, raws=item.raws | {"audio": item.raws["video"]})


def _sounds(item: Item) -> bool:
    video = _video(item)
    try:
        if isinstance(video, Path):
            return video.is_file() and video_file.has_sound(video)
        return isinstance(video, Stored) and video_file.has_sound(video.read())
    except (BadFile, MissingExtra):  # told when the video is read
        return False
