"""A probe: one fault of the sample code as a test that any library with the same names can be put to."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import nnx


class Fault(AssertionError):
    """The property does not hold; the message says what was seen."""


@dataclass(frozen=True)
class Probe:
    """`check(api)` returns what it saw, in a few words, or raises: `Fault`, or whatever the library raised.

    `api` has the guide's names as attributes. `id` is the row of the list of capabilities and a word; `shown` is whether the
    documents show the code that it is about, and not only its use.
    """

    id: str
    fault: str
    right: str
    shown: bool
    check: Callable[[Any], str]


PROBES: dict[str, Probe] = {}


def probe(id: str, fault: str, right: str, shown: bool = True) -> Callable[[Callable[[Any], str]], Probe]:
    """Adds the function beneath it to `PROBES`."""

    def add(check: Callable[[Any], str]) -> Probe:
        if id in PROBES:
            raise ValueError(f"two probes are called {id!r}")
        PROBES[id] = Probe(id, fault, right, shown, check)
        return PROBES[id]

    return add


def expect(right: Any, seen: str) -> str:
    """What was seen, where it is right."""
    if not right:
        raise Fault(seen)
    return seen


def refused(call: Callable[[], Any], word: str, what: str) -> str:
    """That a call raises an error which speaks of `word`; any error, where that is empty."""
    try:
        call()
    except Exception as error:  # any: what it says is judged
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return expect(word.lower() in said.lower(), said if len(said) <= 120 else said[:119] + "…")
    raise Fault(f"accepted: {what}")


def apart(a: Any, b: Any) -> float:
    """The largest difference."""
    return float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max())


def compiled(module: Any, **settings: Any) -> Callable[..., Any]:
    """An NNX module as one compiled program, as op by op it would be compiled op by op; anything else as it is."""
    if not isinstance(module, nnx.Module):
        return partial(module, **settings)
    graph, state = nnx.split(module)
    return partial(jax.jit(lambda state, *arrays: nnx.merge(graph, state)(*arrays, **settings)), state)


def run(module: Any, *arrays: Any, **settings: Any) -> Any:
    return compiled(module, **settings)(*arrays)


def parameters(module: nnx.Module) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))
