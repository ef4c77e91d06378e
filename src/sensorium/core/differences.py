"""How the arrays of a file differ from those that are wanted, by name."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Shaped(Protocol):
    """An array, or what it is without its numbers."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...


def differences(found: Mapping[str, Shaped], wanted: Mapping[str, Shaped]) -> list[str]:
    """A phrase for everything that is missing, then unknown, then of another shape or type; empty where all fits."""
    wrong = [f"missing {name}" for name in sorted(wanted.keys() - found.keys())]
    wrong += [f"unknown {name}" for name in sorted(found.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & found.keys()):
        got, expected = (f"{x.dtype}{list(x.shape)}" for x in (found[name], wanted[name]))
        wrong += [f"{name}: {got}, expected {expected}"] if got != expected else []
    return wrong
