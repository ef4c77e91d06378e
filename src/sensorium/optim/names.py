"""Parameters by name: `encoders.image.transformer.layers.3.qkv.kernel`, and patterns of names, matched as file names are."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import jax
from flax import nnx

STACK = re.compile(r"^(?:(?P<before>.*)\.)?(?:blocks|layers|resblocks)\.(?P<number>\d+)\.")
STEMS = (
    "*patches.*",
    "*neighbours.*",
    "*position",
    "*positions",
    "*positions.*",
    "*table",
    "*embeddings.*",
    "*.project.*",
    "*.first",
)
"""What of a tower stands before its first block, by name."""


def parameters(model: nnx.Module) -> dict[str, Any]:
    """The parameters of a module (or their shapes, of one by `nnx.eval_shape`) by dotted name, in its own order."""
    return {".".join(map(str, path)): variable.get_value() for path, variable in nnx.to_flat_state(nnx.state(model, nnx.Param))}


def matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def check_patterns(what: str, patterns: Iterable[str], names: Sequence[str]) -> None:
    """A `ValueError` for patterns that no name has: a mistyped one would change nothing, and nobody would know."""
    if idle := [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)]:
        raise ValueError(
            f"{what}={idle}: no parameter has such a name; there are {', '.join(names[:8])}{' …' * (len(names) > 8)}"
        )


def map_named(change: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`change(name, leaf, …)` of every leaf of a tree of arrays: a dict by dotted name, or anything else that jax can walk."""
    return jax.tree_util.tree_map_with_path(lambda path, *leaves: change(_dotted(path), *leaves), tree, *rest)


def named(tree: Any) -> dict[str, Any]:
    """The leaves of a tree of arrays (or of their shapes) by dotted name."""
    return {_dotted(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def _dotted(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".").removesuffix(".value")  # as nnx's own states end


def by_depth(names: Sequence[str], decay: float) -> dict[str, float]:
    """Layer-wise learning rates (Clark et al. 2020, ELECTRA; Bao et al. 2022, BEiT): `decay` once for each block further down.

    A tower is an entry of `encoders`; a module without such is one tower. With L blocks in it (its longest list called blocks,
    layers or resblocks), block i, counted from 0, gets decay^(L − i), what stands before the blocks (`STEMS`) decay^(L + 1),
    and everything else 1: pooling, projections, towers that have no blocks. A `ValueError` where nothing has any.
    """
    stacks = {name: int(found["number"]) for name in names if (found := STACK.match(name))}
    if not stacks:
        raise ValueError(
            f"layer_decay={decay}: no parameter is in a list of blocks or layers; there are {', '.join(names[:8])} …"
        )
    lengths: dict[str, int] = {}
    for name, number in stacks.items():
        lengths[_tower(name)] = max(lengths.get(_tower(name), 0), number + 1)

    def power(name: str) -> int:
        length = lengths.get(_tower(name), 0)
        if name in stacks:
            return length - stacks[name]
        return length + 1 if length and matches(name, STEMS) else 0

    return {name: decay ** power(name) for name in names}


def _tower(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "encoders" else ""


def by_pattern(names: Sequence[str], rates: Mapping[str, float]) -> dict[str, float]:
    """The number of the first pattern that a name has, or 1."""
    check_patterns("rates", rates, names)
    return {name: rate_of(name, rates) for name in names}


def rate_of(name: str, rates: Mapping[str, float]) -> float:
    """The number of the first pattern that a name has, or 1."""
    return next((rate for pattern, rate in rates.items() if fnmatchcase(name, pattern)), 1.0)
