"""The arguments of a fusion's call: positional as in the guide, or by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from sensorium.core.errors import UnknownName, nearest

Features = Float[jax.Array, "..."] | Float[np.ndarray, "..."] | None
Masks = Mapping[str, Any] | None
"""By modality: Bool `(B,)`, the rows that have it, or `(B, L)`, its real tokens; of one sample a bool or `(L,)`."""
_ENDINGS = ("_emb", "_embedding", "_features", "_inputs")
"""A guide's `image_emb=` is the field `image`."""


def by_field(fields: Sequence[str], features: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by field, without those that are `None`. What is left over, or left out, is an error."""
    if len(features) > len(fields):
        raise ValueError(f"{len(features)} arguments for the {len(fields)} modalities {', '.join(fields)}")
    given = dict(zip(fields, features, strict=False))
    for name, x in named.items():
        field = field_of(name, fields)
        check_feature(name, x)
        if field is None:
            raise UnknownName(f"no modality is called {name!r} here.{nearest(name, fields)}")
        if field in given:
            raise ValueError(f"{field!r} was given twice")
        given[field] = x
    if features and (missing := [name for name in fields if name not in given]):
        raise ValueError(f"no argument for {', '.join(missing)}: give None where one is missing, or give all by name")
    if all(x is None for x in given.values()):
        raise ValueError(f"nothing to fuse: give one at least of {', '.join(fields)}")
    return {name: given[name] for name in fields if given.get(name) is not None}


def check_feature(name: str, x: Any) -> None:
    """A `ValueError` for a switch or a number by the name of a modality: an option that this fusion does not have."""
    if isinstance(x, bool | int | float | str):
        raise ValueError(f"{name}={x!r}: neither features of a modality nor an option of this fusion")


def field_of(name: str, fields: Sequence[str]) -> str | None:
    """The field that an argument's name means, if it means one."""
    return next((name.removesuffix(end) for end in ("", *_ENDINGS) if name.removesuffix(end) in fields), None)


def named_widths(input_dims: Mapping[str, int] | Sequence[int]) -> dict[str, int]:
    """Widths by name; those of a list are called input_0, input_1, …"""
    widths = dict(input_dims) if isinstance(input_dims, Mapping) else {f"input_{i}": n for i, n in enumerate(input_dims)}
    if not widths:
        raise ValueError("input_dims is empty: give the width of each modality, as in {'image': 512, 'text': 256}")
    return widths
