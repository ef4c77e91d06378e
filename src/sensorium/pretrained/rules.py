"""From the names and layouts of a checkpoint to ours and back: a table of rules, and one strict loader for all families."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import jax
import numpy as np
from flax import nnx

from sensorium.core.errors import BadFile
from sensorium.pretrained.tensors import Tensor

M = TypeVar("M", bound=nnx.Module)
MOST_TOLD = 20


@dataclass(frozen=True)
class Layout:
    """How an array of a checkpoint becomes ours (`read`), and the way back (`write`)."""

    read: Callable[[np.ndarray], np.ndarray]
    write: Callable[[np.ndarray], np.ndarray]


SAME = Layout(lambda x: x, lambda x: x)
TURNED = Layout(np.transpose, np.transpose)
"""PyTorch's linear layers have the outputs first, ours the inputs."""
SINGLE = Layout(lambda x: x.reshape(()), lambda x: x.reshape((1,)))
"""A number that is kept as a vector of one."""
LEADING = Layout(lambda x: x[0], lambda x: x[None])
"""A vector with an axis of one before it."""
FLAT = Layout(lambda x: x.reshape(x.shape[-1]), lambda x: x.reshape(1, 1, -1))
"""A vector with two axes of one before it."""


def patches(side: int) -> Layout:
    """A strided convolution [out, in, side, side] as the kernel of flat patches [side·side·in, out]."""

    def write(x: np.ndarray) -> np.ndarray:
        return x.reshape(side, side, -1, x.shape[1]).transpose(3, 2, 0, 1)

    def read(x: np.ndarray) -> np.ndarray:
        # A kernel of another side becomes one of another shape, which is told.
        return x.transpose(2, 3, 1, 0).reshape(-1, x.shape[0]) if x.ndim == 4 else x

    return Layout(read, write)


@dataclass(frozen=True)
class Rule:
    """The parameter `ours` is the array `theirs` of the checkpoint; `{}` stands for the number of a layer in both. A name that
    ends in `[i/n]` is the part i of an array that holds n of ours one below the other, as fused queries, keys and values are."""

    ours: str
    theirs: str
    layout: Layout = SAME


def linear(ours: str, theirs: str) -> list[Rule]:
    return [Rule(f"{ours}.kernel", f"{theirs}.weight", TURNED), Rule(f"{ours}.bias", f"{theirs}.bias")]


def norm(ours: str, theirs: str) -> list[Rule]:
    return [Rule(f"{ours}.scale", f"{theirs}.weight"), Rule(f"{ours}.bias", f"{theirs}.bias")]


@dataclass(frozen=True)
class Names:
    """The names of a family. `own`: parameters of ours that no checkpoint has, and the number that each of them starts at.
    `idle`: patterns of arrays of checkpoints that our models have no use for. `renamed`: an older spelling of theirs -> theirs.
    """

    rules: Sequence[Rule]
    own: Mapping[str, float] = field(default_factory=dict)
    idle: Sequence[str] = ()
    renamed: Callable[[str], str] = str

    def theirs(self, ours: str) -> tuple[str, Layout] | None:
        """The name of an array of the checkpoint, and its layout; None for a parameter of our own."""
        plain, number = re.sub(r"\.layers\.\d+\.", ".layers.{}.", ours), re.search(r"\.layers\.(\d+)\.", ours)
        for rule in self.rules:
            if rule.ours == plain:
                return rule.theirs.format(*number.groups()) if number else rule.theirs, rule.layout
        if ours in self.own:
            return None
        raise KeyError(ours)


def fill(module: M, found: Mapping[str, Tensor], names: Names, where: str, dtype: Any) -> M:
    """A module like this one (of shapes only, by `nnx.eval_shape`) with the arrays of a checkpoint as its parameters, of `dtype`.

    Whatever is missing, not known, of another shape, or of whole numbers is told in one
    `BadFile`, before anything is read. Arrays are read one at a time, the largest first: no more than one of them is held twice,
    and at the end, when all are there, that is a small one.
    """
    graph, state = nnx.split(module)
    held = {names.renamed(key): tensor for key, tensor in found.items()}
    plan, wrong = [], [f"{key}: there twice, with and without a prefix" for key in _twice(map(names.renamed, found))]
    for path, variable in nnx.to_flat_state(state):
        named = names.theirs(_dotted(path))
        if named is None:
            variable.set_value(jax.numpy.full(variable.get_value().shape, names.own[_dotted(path)], jax.numpy.float32))
            continue
        (key, part, parts), layout = _part(named[0]), named[1]
        expected = tuple(layout.write(np.broadcast_to(np.float32(0), variable.get_value().shape)).shape)
        expected = expected if parts == 1 else (parts * expected[0], *expected[1:])
        if key not in held:
            wrong.append(f"missing {key} {list(expected)}")
        elif held[key].shape != expected:
            wrong.append(f"{key}: {list(held[key].shape)}, expected {list(expected)}")
        elif held[key].dtype.kind not in "fV":
            wrong.append(f"{key}: {held[key].dtype}, expected numbers with a fraction")
        else:
            plan.append((variable, held[key].part(part, parts), layout))
    wanted = {_part(named[0])[0] for path, _ in nnx.to_flat_state(state) if (named := names.theirs(_dotted(path)))}
    wrong += [f"unknown {key} {list(held[key].shape)}" for key in held if key not in wanted and not _any(key, names.idle)]
    if wrong := set(wrong):
        more = f"; and {len(wrong) - MOST_TOLD} more" if len(wrong) > MOST_TOLD else ""
        raise BadFile(f"{where}: the weights do not fit the config.json: {'; '.join(sorted(wrong)[:MOST_TOLD])}{more}")
    plan.sort(key=lambda one: one[1].start - one[1].end)
    for variable, tensor, layout in plan:
        variable.set_value(_placed(tensor, layout, np.dtype(dtype)))
    return nnx.merge(graph, state)


def _placed(tensor: Tensor, layout: Layout, dtype: np.dtype) -> jax.Array:
    """An array on its device. What is only turned is turned by JAX as it copies, which is quicker than NumPy; it has to copy, as
    what is donated must not lie in the file."""
    x = tensor.read()
    x = layout.read(x if x.dtype == dtype else x.astype(dtype))
    return jax.block_until_ready(jax.device_put(x, may_alias=False))


def laid_out(module: nnx.Module, names: Names) -> dict[str, np.ndarray]:
    """The parameters of a module as the family's checkpoints have them. A `ValueError` for those that they have no place for."""
    found: dict[str, dict[int, np.ndarray]] = {}
    strange = []
    for path, variable in nnx.to_flat_state(nnx.state(module)):
        try:
            named = names.theirs(_dotted(path))
        except KeyError:
            strange.append(_dotted(path))
            continue
        if named is not None:
            key, part, _ = _part(named[0])
            found.setdefault(key, {})[part] = named[1].write(np.asarray(variable.get_value()))
    if strange:
        raise ValueError(
            f"the layout of this family has no place for {', '.join(strange[:8])}{' …' * (len(strange) > 8)}: merge adapters "
            "into their layers first, or save in Sensorium's own layout"
        )
    whole = {key: [parts[i] for i in range(len(parts))] for key, parts in found.items()}
    return {key: parts[0] if len(parts) == 1 else np.concatenate(parts) for key, parts in whole.items()}


def _part(name: str) -> tuple[str, int, int]:
    """The name of an array, which of its parts is meant, and how many there are."""
    found = re.fullmatch(r"(.*)\[(\d+)/(\d+)\]", name)
    return (found[1], int(found[2]), int(found[3])) if found else (name, 0, 1)


def _dotted(path: Iterable[Any]) -> str:
    return ".".join(map(str, path))


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def _any(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
