"""LanceDB among others: what a thread has seen of what they write, and writes that another one was quicker than, tried again."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from sensorium.core.errors import SensoriumError

TRIES, WAIT = 8, 0.02  # seconds, twice as many at each try, of which a part by chance is waited
_SAID = ("commit conflict", "incompatible transaction", "concurrent", "already exists")
P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Looked:
    """At which tables a thread has looked, the version of the rows that it saw there, and whether it is one that writes them."""

    tables: set[str] = field(default_factory=set)
    version: int | None = None
    writes: bool = False


def again(verb: Callable[P, T]) -> Callable[P, T]:
    """A verb of `Lance` that does the same when it is done twice: done again, on the tables as they are then, where another
    writer has changed them meanwhile. `SensoriumError` where it was in vain `TRIES` times; other errors as they are."""

    @wraps(verb)
    def tried(*args: P.args, **kwargs: P.kwargs) -> T:
        store, attempt = cast(Any, args[0]), 0
        while True:
            try:
                return verb(*args, **kwargs)
            except (RuntimeError, OSError, ValueError) as error:
                if not any(words in str(error).lower() for words in _SAID):
                    raise
                attempt += 1
                if attempt == TRIES:
                    raise SensoriumError(
                        f"{store.uri}: another writer changed the collection each time that this one wrote, {TRIES} times in a "
                        "row: let one finish, and run the same again"
                    ) from error
            store.reopen()
            time.sleep(random.uniform(0, WAIT * 2**attempt))

    return tried


def declare(table: Any, key: str) -> None:
    """Says which column tells rows apart, unless it is said: whoever made the table may have been killed before."""
    if not table.schema.field(key).metadata:
        table.set_unenforced_primary_key(key)
