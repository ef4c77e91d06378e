"""Errors that a person can act on: what was got, what was expected, where, and what to do."""

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class SensoriumError(Exception):
    """The base of every error that Sensorium raises on purpose; the CLI prints it and exits with 1."""


class UnknownName(SensoriumError, KeyError):
    """A name that is not in a table, an argument that a recipe does not take, a field that a model lacks."""

    def __str__(self) -> str:  # KeyError would print the repr of the text
        return str(self.args[0])


class BadFile(SensoriumError):
    """A file that cannot be read as what it is meant to be. The text starts with its path and says why."""


class MissingExtra(SensoriumError, ImportError):
    """An optional dependency is not installed; the text holds the command that installs it."""


class SensoriumWarning(UserWarning):
    """The base of the warnings that are for the person who uses Sensorium; the CLI shows each as a line."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence for the end of an error: the nearest known name, and the list of all."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{hint} Known: {', '.join(names) or 'none'}."


def need(module: str, extra: str, purpose: str) -> ModuleType:
    """Imports an optional dependency, or raises `MissingExtra` with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f'{purpose} needs {module.split(".")[0]} ({error}). Install it with: pip install "sensorium[{extra}]"'
        ) from error
