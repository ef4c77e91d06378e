"""A room's table: name -> thing, where an unknown name is an error that names the nearest known one."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from sensorium.core.errors import UnknownName, nearest

T = TypeVar("T")


class Table(dict[str, T], Generic[T]):
    """A dict whose missing keys raise `UnknownName`: `Table("encoder", {"convnet": ConvNet})`."""

    def __init__(self, what: str, entries: dict[str, T]):
        super().__init__(entries)
        self.what = what

    def __missing__(self, name: str) -> T:
        raise UnknownName(f"no {self.what} is called {name!r}.{nearest(name, self)}")


def made(table: Table[Callable[..., T]], name: str, arguments: Mapping[str, Any]) -> T:
    """What a table has by a name, made of its arguments, as a JSON file has them. One that it does not take is `UnknownName`."""
    build = table[name]
    known = inspect.signature(build).parameters
    for argument in arguments:
        if argument not in known:
            raise UnknownName(f"the {table.what} {name!r} has no argument {argument!r}.{nearest(argument, known)}")
    return build(**arguments)
