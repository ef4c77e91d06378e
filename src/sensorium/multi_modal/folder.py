"""A folder of pictures, captions, sounds and clips as the guide's data set, over the reader of the command line."""

import operator
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Shaped

from sensorium.core.protocols import Item, Modality
from sensorium.core.randomness import key_of, named
from sensorium.data import Folder, Problem, fields_for, scan
from sensorium.data import split as side_of
from sensorium.data.fields import captions
from sensorium.data.orders import Shuffled
from sensorium.data.shuffle import Rows
from sensorium.modalities import Text, Video
from sensorium.multi_modal.fields import picture_field, text_field
from sensorium.multi_modal.sampling import Epochs, Sampler

NAMES = {"text": "input_ids", "text/mask": "attention_mask", "group": "id"}
"""What the guide calls them; everything else has one name."""


class MultiModalDataset:
    """The items of a folder or manifest: files with equal stems in `images/`, `captions/`, `audio/`, `video/` (see `data.scan`).

    Args:
        data_path: The folder, or a CSV, TSV or JSONL manifest.
        tokenizer: See `fields.text_field`; None learns words from the captions (of the training items, where `split` is given,
            so that both sides have the same ids).
        image_transform: A callable PIL image -> array H×W×C, all of one shape; None gives u8 [224 224 3], the aspect kept.
            It is called anew for every reading, so it may be random.
        max_length: Ids of a caption.
        split: "train" or "validation": by a hash of the item's id; None is all of them.
        seed: Of the captions that are drawn, and of the walk that `get_batch` takes.

    An item is one row however many captions it has: each epoch draws one. `dataset[i]` is a dict of `image`, `input_ids`
    i32[L], `attention_mask` bool[L], `audio` and `video` as far as the folder has them, `<modality>/here` (False where this item
    lacks one, or its file is broken: then the arrays are blank), and `id`, its number; `ids[number]` is its name.
    """

    def __init__(
        self,
        data_path: Path | str,
        tokenizer: Any = None,
        image_transform: Callable[..., Any] | None = None,
        max_length: int = 77,
        *,
        split: str | None = None,
        seed: int = 0,
    ):
        listing = scan(data_path)
        items = listing.items if split is None else side_of(listing.items, split)
        if not items:
            raise ValueError(f"{data_path}: none of its {len(listing.items)} items is on the side {split!r}")
        kinds = {kind for item in listing.items for kind in item.raws}
        fields: list[Modality] = list(_sounds_and_clips(listing.items))
        if "text" in kinds:
            seen = captions(listing.items if split is None else side_of(listing.items, "train")) or captions(listing.items)
            fields.append(text_field(tokenizer, seen, max_length))
        self._folders = [Folder(items, fields, listing.problems)]
        if "image" in kinds:
            pictures = picture_field(image_transform)
            fields.append(pictures)
            self._folders.append(Folder(items, [pictures], remember=0 if image_transform else None))
        self.fields = tuple(fields)
        self.ids = tuple(item.id for item in items)
        self._seed = seed
        self._sampler = Sampler(len(items), seed)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: SupportsIndex) -> dict[str, jax.Array]:
        """One item, with the caption of epoch 0."""
        number = operator.index(i)
        if not -len(self) <= number < len(self):
            raise IndexError(f"item {number} of a data set of {len(self)}")
        return {name: jnp.asarray(value[0]) for name, value in self._named([number % len(self)], 0).items()}

    def __iter__(self) -> Iterator[dict[str, jax.Array]]:
        return (self[i] for i in range(len(self)))

    def get_batch(self, batch_size: int, rngs: nnx.Rngs | jax.Array | int | None = None) -> dict[str, jax.Array]:
        """The next items of a shuffled walk through the folder, epoch after epoch; with `rngs`, items and captions drawn by its
        next key, none twice in the batch."""
        if rngs is None:
            epoch, rows = self._sampler.epoch, self._sampler.next(batch_size)
        else:
            key = key_of(rngs)
            rows = self._sampler.draw(batch_size, key)
            epoch = int(jax.random.bits(named(key, "captions"), (), jnp.uint32))
        return {name: jnp.asarray(value) for name, value in self._named(rows, epoch).items()}

    def epoch(
        self, batch_size: int, seed: int = 0, start: int = 0, drop_remainder: bool = True, repeat: int | None = 1
    ) -> Epochs:
        """Shuffled epochs as an iterator of batches, whose position can be saved and restored (see `multi_modal.sampling`)."""
        return Epochs(self._named, Shuffled(len(self), batch_size, seed, drop_remainder), start, repeat)

    def read(self, rows: Rows | Sequence[int] | range, draw: int = 0) -> dict[str, Shaped[np.ndarray, "..."]]:
        """The batch of some rows as the house's models and trainer name it: a `Source` (`text`, `text/mask`, `group`, …)."""
        batch: dict[str, np.ndarray] = {}
        for folder in self._folders:
            batch |= folder.read(np.asarray(rows), draw + (self._seed << 32))
        return batch

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is left out and why: known when the folder was listed, and found as files were read."""
        return (*self._folders[0].problems, *(problem for folder in self._folders for problem in folder.broken))

    @property
    def tokenizer(self) -> Modality | None:
        """The field that reads captions. Words that were learned make a `Text`, which another data set takes as `tokenizer=`."""
        return next((field for field in self.fields if field.kind == Text.kind), None)

    def _named(self, rows: Rows | Sequence[int], epoch: int) -> dict[str, Any]:
        return {NAMES.get(name, name): value for name, value in self.read(rows, epoch).items()}


def _sounds_and_clips(items: Sequence[Item]) -> tuple[Modality, ...]:
    """Sounds as `data.fields_for` has them; of clips 16 frames of 112 pixels, as `encoders.VideoEncoder` takes them."""
    sounds = [Item(item.id, {"audio": item.raws["audio"]}) for item in items if "audio" in item.raws]
    clips = any(Video.kind in item.raws for item in items)
    return (*fields_for(sounds), *([Video(size=112, frames=16)] if clips else []))
