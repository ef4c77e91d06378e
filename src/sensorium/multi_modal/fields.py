"""Fields made of what a user brings: a tokenizer for the captions, a transform for the pictures."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Modality, Raw
from sensorium.modalities import BadRaw, Image, Text, picture_file
from sensorium.modalities.raw import described
from sensorium.modalities.text import identity

Encode = Callable[[str], tuple[Sequence[int], Sequence[bool]]]
"""A caption -> its ids, and which of them are no padding; of any length."""


@dataclass(frozen=True)
class Tokens:
    """A field of captions in the ids of somebody's own tokenizer: like `Text`, but it cannot be saved with a model."""

    encode: Encode
    length: int
    pad: int = 0
    name: str = "text"

    kind: ClassVar[str] = Text.kind
    folder: ClassVar[str] = Text.folder
    suffixes: ClassVar[tuple[str, ...]] = Text.suffixes
    tower: ClassVar[str] = Text.tower

    def prepare(self, raw: Raw) -> dict[str, np.ndarray]:
        """`{name: i32[L], name/mask: bool[L], name/id: i32[]}` of a string."""
        ids, real = self.encode(raw)
        n = len(ids)
        if n > self.length:
            raise BadRaw(
                f"the tokenizer gives {n} ids for a caption of {len(raw)} characters, more than max_length={self.length}: raise "
                "max_length, or let the tokenizer cut"
            )
        out = self.blank()
        out[self.name][:n] = ids
        out[f"{self.name}/mask"][:n] = real
        return out | {f"{self.name}/id": np.array(identity(raw), np.int32)}

    def blank(self) -> dict[str, np.ndarray]:
        return {
            self.name: np.full(self.length, self.pad, np.int32),
            f"{self.name}/mask": np.zeros(self.length, bool),
            f"{self.name}/id": np.array(-1, np.int32),
        }

    def show(self, x: np.ndarray) -> list[int]:
        """The ids without the padding at their end: only the tokenizer knows their words."""
        kept = np.flatnonzero(np.asarray(x) != self.pad)
        return np.asarray(x)[: kept[-1] + 1 if len(kept) else 0].tolist()


class BadTransform(SensoriumError, ValueError):
    """A user's transform that fails, or makes what cannot be a batch."""


@dataclass(frozen=True)
class Transformed:
    """A field of pictures as somebody's own transform makes them of PIL images (RGB, upright): arrays of one shape, H×W×C."""

    transform: Callable[[Any], Any]
    shape: tuple[int, ...]
    dtype: str = "float32"
    name: str = "image"

    kind: ClassVar[str] = Image.kind
    folder: ClassVar[str] = Image.folder
    suffixes: ClassVar[tuple[str, ...]] = Image.suffixes
    tower: ClassVar[str] = Image.tower

    def prepare(self, raw: Raw) -> dict[str, np.ndarray]:
        """`{name: [H W C]}` of a path or the bytes of a file. What the transform raises is a `BadTransform`."""
        picture = picture_file.read(raw)
        try:
            made = _array(self.transform(picture))
        except Exception as error:
            raise BadTransform(f"image_transform failed on {raw}: {type(error).__name__}: {error}") from error
        if made.shape != self.shape or made.dtype != self.dtype:
            raise BadTransform(
                f"image_transform makes {described(made)} of {raw}, and {self.dtype}{list(self.shape)} of another picture: all "
                "have to be alike, so that they make a batch; resize or cut to one size"
            )
        return {self.name: made}

    def blank(self) -> dict[str, np.ndarray]:
        return {self.name: np.zeros(self.shape, self.dtype)}

    def show(self, x: np.ndarray) -> np.ndarray:
        """The array as it is: what the transform did is not known here."""
        return np.asarray(x)


def text_field(tokenizer: Any, captions: Sequence[str], max_length: int) -> Modality:
    """The field that reads captions with `tokenizer`, tried on the first of `captions`.

    None: words and characters learned from the captions. A `Text`, as of another data set. A `tokenizers.Tokenizer`. A callable
    that takes `max_length` (as those of transformers do) and gives `input_ids` and `attention_mask`. A callable text -> ids.
    """
    if tokenizer is None:
        made = Text.from_captions(captions)
        return Text(words=made.words, alphabet=made.alphabet, length=max_length)
    if isinstance(tokenizer, Text):
        return tokenizer
    if max_length < 1:
        raise ValueError(f"max_length={max_length}: expected 1 or more")
    from tokenizers import Tokenizer

    if isinstance(tokenizer, Tokenizer):
        field = _of_library(tokenizer, max_length)
    elif not callable(tokenizer):
        raise ValueError(
            f"tokenizer is a {described(tokenizer)}: expected None, a Text, a tokenizers.Tokenizer, or a callable text -> ids"
        )
    elif "max_length" in inspect.signature(tokenizer).parameters:
        field = Tokens(_of_mapping(tokenizer, max_length), max_length)
    else:
        field = Tokens(_of_ids(tokenizer), max_length)
    for caption in captions[:1]:  # a tokenizer that gives something else is an error now, not a problem of every file
        field.encode(caption)
    return field


def picture_field(transform: Callable[[Any], Any] | None) -> Modality:
    """The house's pictures of 224 pixels, or what `transform` makes, as it shows on a blank one."""
    if transform is None:
        return Image(size=224)
    from PIL import Image as Pictures

    made = _array(transform(Pictures.new("RGB", (320, 240), "grey")))
    if made.ndim == 3 and made.shape[0] in (1, 3, 4) and made.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"image_transform makes arrays of {list(made.shape)}, with the channels first: here they come last, H×W×C. End it "
            "with .transpose(1, 2, 0) (of a torch tensor: .permute(1, 2, 0))"
        )
    return Transformed(transform, made.shape, str(made.dtype))


def _of_library(tokenizer: Any, max_length: int) -> Tokens:
    own = type(tokenizer).from_str(tokenizer.to_str())  # a copy: cutting and padding are settings of the tokenizer itself
    padding = own.padding or {}
    named = (own.token_to_id(piece) for piece in ("[PAD]", "<pad>"))
    pad = padding.get("pad_id", next((number for number in named if number is not None), 0))
    own.no_padding()
    own.enable_truncation(max_length)

    def encode(text: str) -> tuple[Sequence[int], Sequence[bool]]:
        ids = own.encode(text).ids
        return ids, [True] * len(ids)

    return Tokens(encode, max_length, pad)


def _of_mapping(tokenizer: Callable[..., Any], max_length: int) -> Encode:
    def encode(text: str) -> tuple[Sequence[int], Sequence[bool]]:
        made = tokenizer(text, padding="max_length", truncation=True, max_length=max_length)
        if not isinstance(made, Mapping) or "input_ids" not in made or "attention_mask" not in made:
            raise ValueError(f"the tokenizer gives a {described(made)}: expected input_ids and attention_mask by name")
        ids, mask = (_ids(made[name]) for name in ("input_ids", "attention_mask"))
        if len(ids) != len(mask):
            raise ValueError(f"the tokenizer gives {len(ids)} input_ids and an attention_mask of {len(mask)}")
        return ids, [bool(flag) for flag in mask]

    return encode


def _of_ids(tokenizer: Callable[[str], Any]) -> Encode:
    def encode(text: str) -> tuple[Sequence[int], Sequence[bool]]:
        ids = _ids(tokenizer(text))
        return ids, [True] * len(ids)

    return encode


def _ids(made: Any) -> list[int]:
    """Ids of one text; `return_tensors` puts them in a batch of one."""
    ids = np.asarray(made) if not isinstance(made, Mapping | str) else np.array("")
    ids = ids[0] if ids.ndim == 2 and len(ids) == 1 else ids
    if ids.ndim != 1 or not (np.issubdtype(ids.dtype, np.integer) or ids.size == 0):
        raise ValueError(f"the tokenizer gives a {described(made)} for one caption: expected a list of whole numbers")
    return ids.tolist()


def _array(made: Any) -> np.ndarray:
    array = np.asarray(made)
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)) or array.ndim < 1:
        raise ValueError(f"image_transform gives a {described(made)}: expected an array of numbers")
    return array.astype(np.float32) if np.issubdtype(array.dtype, np.floating) else array
