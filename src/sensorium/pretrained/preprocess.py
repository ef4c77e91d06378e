"""What a checkpoint says of pictures and texts, as fields; and the same, written as transformers reads it."""

import json
import math
from collections.abc import Sequence
from typing import Any

from sensorium.core.errors import BadFile
from sensorium.modalities import Text
from sensorium.modalities.film import Film
from sensorium.modalities.picture import Picture, Processing, processing_of
from sensorium.modalities.text_pieces import Pieces, pieces_of, read
from sensorium.pretrained.family import Folder, Json, said_over

PICTURES, PROCESSOR = "preprocessor_config.json", "processor_config.json"
TOKENS, TOKENS_CONFIG, TOKENS_MAP = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
UNBOUNDED = 1_000_000
"""A `model_max_length` beyond this stands for none: transformers writes 10³⁰."""


def picture_field(folder: Folder, defaults: Json, square: bool, size: Sequence[int] | None) -> tuple[Picture, Json]:
    """The field of pictures, and how their numbers are normalised: "scale", "mean" and "std", as `PublishedViT` takes them.

    `defaults`: of the family's processor, as files leave some out; `square`: a size of one number is that of both sides. The
    pictures have to come out at `size`, where that is given.
    """
    where, said = ready_said(folder, "pictures", [PICTURES], ["image_processor"])
    processing, pixels = processing_said(where, said, defaults, square)
    check_comes_to(where, processing, size)
    return Picture("image", processing), pixels


def ready_said(
    folder: Folder, what: str, files: Sequence[str], parts: Sequence[str], missing: Json | None = None
) -> tuple[str, Json]:
    """(the file, what it says) of how `what` (pictures, clips, sounds) is made ready: the first that is there of some `files`
    and of some `parts` of processor_config.json. `BadFile` where there is none, unless `missing` counts then."""
    whole = folder.json(PROCESSOR) or {}
    found = [(name, folder.json(name)) for name in files] + [(PROCESSOR, whole.get(part)) for part in parts]
    for name, said in found:
        if said is not None:
            return f"{folder.path / name}", said
    if missing is not None:
        return f"{folder.path / PICTURES}", missing
    raise BadFile(f"{folder.path}: lacks {PICTURES}, which says how {what} are made ready. Copy it from the model's repository")


def processing_said(where: str, said: Json, defaults: Json, square: bool) -> tuple[Processing, Json]:
    """What the file `where` says is done to a picture, and how its numbers are normalised; see `picture_field`."""
    said = said_over(defaults, said)
    resize = _size(where, said["size"], square) if said["do_resize"] else ()
    crop = _size(where, said["crop_size"], True) if said["do_center_crop"] else ()
    return Processing(resize, int(said["resample"]), crop), pixels_said(said)


def pixels_said(said: Json) -> Json:
    """How numbers are normalised: "scale", "mean" and "std", as encoders take them."""
    return {
        "scale": float(said["rescale_factor"]) if said["do_rescale"] else 1.0,
        "mean": _three(said["image_mean"]) if said["do_normalize"] else [0.0] * 3,
        "std": _three(said["image_std"]) if said["do_normalize"] else [1.0] * 3,
    }


def check_comes_to(where: str, processing: Processing, size: Sequence[int] | None) -> None:
    """A `BadFile` where pictures do not come out at the size that the model is built for."""
    if size is not None and processing.size != tuple(size):
        got, built = (f"{height}×{width}" for height, width in (processing.size, size))
        raise BadFile(f"{where}: pictures come out at {got}, where the model is built for {built}")


def picture_files(arguments: Json, field: Picture | Film, kind: str) -> Json:
    """The preprocessor_config.json of a field of pictures or clips; `kind` is the name of transformers' class."""
    processing, pixels = processing_of(field.processing), arguments["pixels"]
    resize, crop = processing.resize, processing.crop
    sizes = {"shortest_edge": resize[0]} if len(resize) == 1 else _sides(resize or field.size)
    return {
        "image_processor_type": kind,
        "do_convert_rgb": True,
        "do_resize": bool(resize),
        "size": sizes,
        "resample": processing.resample,
        "do_center_crop": bool(crop),
        "crop_size": _sides(crop or field.size),
        "do_rescale": True,
        "rescale_factor": pixels["scale"],
        "do_normalize": True,
        "image_mean": list(pixels["mean"]),
        "image_std": list(pixels["std"]),
    }


def text_field(folder: Folder, places: int, pad: str, tokenizer: Json | None = None, exactly: bool = False) -> Text:
    """The field of texts: the tokenizer.json of the folder (or `tokenizer`), which fills up to the length that the model was
    trained with, at most its `places`, with the padding and on the sides that tokenizer_config.json says; `pad` unless told.
    `exactly`: up to its `places`."""
    said = loads(read(folder.path / TOKENS)) if tokenizer is None else tokenizer
    config = folder.json(TOKENS_CONFIG) or {}
    marks = {key: _content(value) for key, value in (folder.json(TOKENS_MAP) or {}).items()}
    pad = _content(config.get("pad_token")) or marks.get("pad_token") or pad
    length = config.get("model_max_length") or places
    length = places if exactly or length > UNBOUNDED else min(int(length), places)
    numbers = vocabulary(said)
    if pad not in numbers:
        raise BadFile(f"{folder.path / TOKENS}: the token {pad!r}, with which texts are filled up, is not in its vocabulary")
    fill, cut = (_SIDES[config.get(key, "right")] for key in ("padding_side", "truncation_side"))
    return filled(said, length, pad, numbers[pad], fill, cut)


_SIDES = {"left": "Left", "right": "Right"}


def filled(tokenizer: Json, length: int, pad: str, number: int, fill: str = "Right", cut: str = "Right") -> Text:
    """The field of a tokenizer.json, which fills up to `length` with the token `pad`, and cuts to it."""
    tokenizer["padding"] = {
        "strategy": {"Fixed": length},
        "direction": fill,
        "pad_to_multiple_of": None,
        "pad_id": number,
        "pad_type_id": 0,
        "pad_token": pad,
    }
    tokenizer["truncation"] = {"direction": cut, "max_length": length, "strategy": "LongestFirst", "stride": 0}
    return Text("text", (), "", length, Pieces("library", dumps(tokenizer)))


def text_files(field: Text, kind: str, cleaned: bool = False, **more: Any) -> dict[str, Json]:
    """tokenizer.json and tokenizer_config.json of a field of texts; `kind` is the name of transformers' class, `more` goes into
    the second. `cleaned`: see `tokenizer_of`."""
    said = tokenizer_of(field, cleaned)
    config = {
        "tokenizer_class": kind,
        "model_max_length": field.length,
        "pad_token": said["padding"]["pad_token"],
        "padding_side": said["padding"]["direction"].lower(),
        "truncation_side": said["truncation"]["direction"].lower(),
        **more,
    }
    return {TOKENS: said, TOKENS_CONFIG: config}


def loads(text: str) -> Json:
    """The object of a tokenizer.json, which `read` has looked over."""
    return json.loads(text)


def dumps(tokenizer: Json) -> str:
    """The text of a tokenizer.json, as short as it can be."""
    return json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))


def tokenizer_of(field: Text, cleaned: bool = False) -> Json:
    """The tokenizer.json that a field holds. A `ValueError` where it has none, its pieces being the house's own, and where texts
    are cleaned before it, unless the layout says so too (`cleaned`)."""
    pieces = pieces_of(field.pieces)
    if pieces.kind != "library":
        raise ValueError(f"the field {field.name!r} reads {pieces.kind}; only a tokenizer.json can be written for transformers")
    if pieces.clean and not cleaned:
        raise ValueError(
            f"the field {field.name!r} cleans its texts first ({pieces.clean}), as OpenCLIP does and transformers does not: save "
            "in the layout of open_clip, or in Sensorium's own"
        )
    return json.loads(pieces.json)


def vocabulary(tokenizer: Json) -> dict[str, int]:
    """Every piece of a tokenizer.json with its number, added ones too."""
    known = tokenizer["model"]["vocab"]
    numbers = dict(known) if isinstance(known, dict) else {piece: i for i, (piece, _) in enumerate(known)}
    return numbers | {one["content"]: one["id"] for one in tokenizer.get("added_tokens", ())}


def _content(token: Any) -> str | None:
    """A token as text: files have it as a string, or as an object that says how it is matched."""
    return token.get("content") if isinstance(token, dict) else token


def _size(where: str, said: Any, square: bool) -> tuple[int, ...]:
    if isinstance(said, int):
        return (said, said) if square else (said,)
    if isinstance(said, dict) and said.keys() == {"shortest_edge"}:
        return (said["shortest_edge"],)
    if isinstance(said, dict) and said.keys() == {"height", "width"}:
        return (said["height"], said["width"])
    raise BadFile(f"{where}: a size of {said!r}; expected a number, shortest_edge, or height and width")


def _sides(size: Sequence[int]) -> Json:
    return {"height": size[0], "width": size[1]}


def _three(said: Any) -> list[float]:
    three = [float(x) for x in said] if isinstance(said, list) else [float(said)] * 3
    if len(three) != 3 or not all(map(math.isfinite, three)):
        raise ValueError(f"image_mean or image_std of {said!r}; expected three numbers, of red, green and blue")
    return three
