"""A room's table: name -> thing, where an unknown name is an error that names the nearest known one."""

from typing import Generic, TypeVar

from sensorium.core.errors import UnknownName, nearest

T = TypeVar("T")


class Table(dict[str, T], Generic[T]):
    """A dict whose missing keys raise `UnknownName`: `Table("encoder", {"convnet": ConvNet})`."""

    def __init__(self, what: str, entries: dict[str, T]):
        super().__init__(entries)
        self.what = what

    def __missing__(self, name: str) -> T:
        raise UnknownName(f"no {self.what} is called {name!r}.{nearest(name, self)}")
