"""Rows of a store that were read lately: what many ask for again and again is read once."""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any

from sensorium.search.store import KEY, Store

MOST, LONG = 5_000, 1 << 14
"""Rows that are remembered, each with texts of at most so many characters: a book is read anew."""


class Lately:
    """Some columns of a store's rows by their keys, for many threads. What was read of another version is forgotten."""

    def __init__(self, store: Store, columns: Sequence[str], most: int = MOST):
        self._store, self._columns, self._most = store, [KEY, *columns], most
        self._lock, self._version = Lock(), -1
        self._rows: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def get(self, keys: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of some keys, in their order; they are read only. `UnknownName` where one is not there."""
        version = self._store.version
        with self._lock:
            if version > self._version:
                self._rows, self._version = OrderedDict(), version
            found = {key: self._rows[key] for key in keys if key in self._rows} if version == self._version else {}
            for key in found:
                self._rows.move_to_end(key)
        if missing := [key for key in dict.fromkeys(keys) if key not in found]:
            read = {row[KEY]: row for row in self._store.get(missing, self._columns).to_pylist()}
            found |= read
            with self._lock:
                if version == self._version:
                    self._rows |= {key: row for key, row in read.items() if _length(row) <= LONG}
                while len(self._rows) > self._most:
                    self._rows.popitem(last=False)
        return [found[key] for key in keys]


def _length(row: dict[str, Any]) -> int:
    return sum(len(value) for value in row.values() if isinstance(value, str))
