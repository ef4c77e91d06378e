"""Where collections are: a folder, a bucket, this process. A place is told by one text."""

import re
from pathlib import Path

from sensorium.core.errors import BadFile, SensoriumError, UnknownName, nearest
from sensorium.search.store import Store

MEMORY = "memory:"
BUCKETS = ("s3", "gs", "az")
"""What LanceDB reads and writes by itself, with the keys that the environment holds."""
_SHELF: dict[str, Store] = {}


def store_at(place: Path | str, create: bool = False) -> Store:
    """The store at a place: a folder or `s3://bucket/path` (LanceDB), or `memory:name`, which ends with this process and is
    another one each time without a name. `BadFile` where there is none, unless it may be made (`create`)."""
    scheme, colon, rest = str(place).partition(":")
    if isinstance(place, str) and place.startswith(MEMORY):
        from sensorium.search.memory import Memory

        if not create and (rest not in _SHELF or not _SHELF[rest].version):
            raise BadFile(f"{place}: no collection is here")
        return _SHELF.setdefault(rest, Memory()) if rest else Memory()
    if isinstance(place, str) and re.fullmatch("[a-z][a-z0-9]+", scheme) and colon and rest.startswith("//"):
        if scheme not in BUCKETS:
            raise UnknownName(f"{place}: no store is reached by {scheme}://.{nearest(scheme, [*BUCKETS, 'memory'])}")
    else:
        _check_folder(Path(place), create)
    from sensorium.search.lance import Lance

    made = Lance(place)
    if not create and not made.version:
        raise BadFile(f"{place}: no collection is here; make one with: sensorium index")
    return made


def erase(place: Path | str) -> None:
    """Removes the collection at a place, if there is one."""
    from sensorium.search.lance import Lance

    if isinstance(place, str) and place.startswith(MEMORY):
        _SHELF.pop(place.removeprefix(MEMORY), None)
        return
    store = store_at(place, create=True)
    if isinstance(store, Lance):
        store.erase()


def _check_folder(path: Path, create: bool) -> None:
    """Told before a database is asked, which would make a folder of whatever it is given."""
    inside = {child.name for child in path.iterdir()} if path.is_dir() else set()
    if "manifest.json" in inside and b"sensorium/collection-1" in (path / "manifest.json").read_bytes()[:200]:
        raise BadFile(f"{path}: a collection of an older version: remove it and make it anew with: sensorium index")
    if not create and "rows.lance" not in inside:
        raise BadFile(f"{path}: no collection is here; make one with: sensorium index")
    if path.exists() and (not path.is_dir() or (inside and not inside & {"rows.lance", "about.lance"})):
        raise SensoriumError(f"{path} exists and is no collection: give a new path, or remove it first")
