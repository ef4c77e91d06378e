"""What a user may give to a model without its own preprocessing, looked over before anything is computed: JAX takes an index
out of range for the last one, and numbers of the wrong kind for what they are not."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from sensorium.encoders.published import PublishedViT
from sensorium.encoders.published_text import PublishedText
from sensorium.modalities.raw import BadRaw, described
from sensorium.models.generator import Generator
from sensorium.models.space import Space

TEMPLATES = {"image": ("a photo of a {}.",), "video": ("a video of {}.",), "audio": ("This is a sound of {}.",)}
"""What is said of a label, by the kind of things that are classified."""


def checked(model: Any, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays of some fields of a model, as they are. `BadRaw` where they are none, and for pixels and token ids of published
    encoders where their shapes or numbers are not what the encoder reads."""
    for name, x in arrays.items():
        shape, dtype = np.shape(x), getattr(x, "dtype", np.asarray(x).dtype)
        if dtype.kind not in "fiubV":
            raise BadRaw(f"outputs: {name} is {described(x)} of {dtype}, no array of numbers: see prepare, which makes them")
        if not shape or not shape[0]:
            raise BadRaw(f"outputs: {name} is {described(x)}: expected one row or more")
    encoders = dict(model.encoders.items()) if isinstance(model, Space | Generator) else {}
    for field, encoder in encoders.items():
        if field in arrays and isinstance(encoder, PublishedViT):
            _pixels(field, arrays[field])
    for field, vocabulary in _vocabularies(model).items():
        beside = [name for name in arrays if name.startswith(f"{field}/")]
        if beside or field in arrays:
            if odd := [name for name in beside if name != f"{field}/mask"]:
                raise BadRaw(f"outputs: {odd[0]!r} is nothing that is read: {field!r} and '{field}/mask' are")
            if field not in arrays:
                raise BadRaw(f"outputs: a mask without its {field!r}")
            _ids(field, arrays[field], vocabulary)
            if beside:
                _mask(field, arrays[beside[0]], arrays[field])
    return dict(arrays)


def _vocabularies(model: Any) -> dict[str, int]:
    """How many ids are known, by field of texts."""
    if isinstance(model, Generator):
        asked = {} if model.question is None else {model.asked: model.question.body.table.shape[0]}
        return {model.target: model.decoder.vocabulary, **asked}
    encoders = model.encoders.items() if isinstance(model, Space) else ()
    return {name: encoder.table.shape[0] for name, encoder in encoders if isinstance(encoder, PublishedText)}


def prompts(labels: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Every label in every template, those of a label one after another."""
    lists = not isinstance(labels, str) and not isinstance(templates, str)
    if not lists or not labels or not templates or any(not isinstance(one, str) for one in (*labels, *templates)):
        raise BadRaw(f"classify: labels {labels!r}, templates {templates!r}: expected a list of one text or more for each")
    if odd := [template for template in templates if "{}" not in template]:
        raise BadRaw(f"classify: the template {odd[0]!r}: expected {{}} in each template, where the label goes")
    return [template.replace("{}", label) for label in labels for template in templates]


def cosines(a: np.ndarray, b: np.ndarray) -> Float[np.ndarray, "N M"]:
    """Of every row of `a` [N D] with every row of `b` [M D], all of unit length; `BadRaw` where they are no such rows."""
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise BadRaw(
            f"similarity: of {described(a)} and {described(b)}: expected rows of one length, as encode gives them for each field "
            "of one model"
        )
    return a @ b.T


def _pixels(field: str, x: Any) -> None:
    shape, dtype = np.shape(x), np.asarray(x).dtype
    if len(shape) != 4 or shape[3] != 3:
        turned = ": the channels come last here, x.transpose(0, 2, 3, 1)" if len(shape) == 4 and shape[1] == 3 else ""
        raise BadRaw(f"outputs: {field} is {described(x)}, expected pictures [B H W 3]{turned}")
    if dtype != np.uint8 and dtype.kind not in "fV":
        raise BadRaw(f"outputs: {field} is {described(x)}: expected pixels as u8, or normalised ones as floats")


def _ids(field: str, x: Any, vocabulary: int) -> None:
    ids = np.asarray(x)
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise BadRaw(f"outputs: {field} is {described(x)}, expected token ids [B L], whole numbers")
    low, high = int(ids.min(initial=0)), int(ids.max(initial=0))
    if low < 0 or high >= vocabulary:
        raise BadRaw(f"outputs: {field} has the id {low if low < 0 else high}, where the vocabulary has 0 to {vocabulary - 1}")


def _mask(field: str, mask: Any, ids: Any) -> None:
    if np.asarray(mask).dtype != bool or np.shape(mask) != np.shape(ids):
        told = f"{field}/mask is {described(mask)} beside {field} {list(np.shape(ids))}"
        raise BadRaw(f"outputs: {told}: expected one bool for each id, True where there is a token")
