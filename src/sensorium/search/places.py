"""Where collections are: a folder, a bucket, a server, this process. A place is told by one text."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sensorium.core.errors import BadFile, SensoriumError, UnknownName, nearest
from sensorium.search.store import Store

if TYPE_CHECKING:
    from sensorium.search.lance import Lance

MEMORY, MILVUS = "memory:", "milvus://"
BUCKETS = ("s3", "gs", "az")
"""What LanceDB reads and writes by itself, with the keys that the environment holds."""
_SHELF: dict[str, Store] = {}


def store_at(place: Path | str, create: bool = False) -> Store:
    """The store at a place: a folder or `s3://bucket/path` (LanceDB), `milvus://host:port/db` or `milvus:///path/name.db`
    (Milvus), or `memory:name`, which ends with this process and is another one each time without a name. `BadFile` where there is
    none, unless it may be made (`create`)."""
    scheme, colon, rest = str(place).partition(":")
    if isinstance(place, str) and place.startswith(MEMORY):
        from sensorium.search.memory import Memory

        if not create and (rest not in _SHELF or not _SHELF[rest].version):
            raise BadFile(f"{place}: no collection is here")
        return _SHELF.setdefault(rest, Memory()) if rest else Memory()
    if isinstance(place, str) and place.startswith(MILVUS):
        return _in_milvus(place, create)
    if isinstance(place, str) and re.fullmatch("[a-z][a-z0-9]+", scheme) and colon and rest.startswith("//"):
        if scheme not in BUCKETS:
            raise UnknownName(f"{place}: no store is reached by {scheme}://.{nearest(scheme, [*BUCKETS, 'milvus', 'memory'])}")
    else:
        _check_folder(Path(place), create)
    from sensorium.search.lance import Lance

    made = Lance(place)
    if "://" in str(place):
        _ask(made)
    if not create and not made.schema.names:
        raise BadFile(f"{place}: no collection is here; make one with: sensorium index")
    return made


def _ask(bucket: "Lance") -> None:
    """`SensoriumError` where a bucket cannot be asked what it holds."""
    try:
        bucket.schema  # noqa: B018  it is asked for
    except SensoriumError:
        raise
    except (RuntimeError, ValueError, OSError) as error:  # LanceDB's, which hold where in its own source they were raised
        said = re.sub(r", \S*\.rs:\d+:\d+.*", "", " ".join(str(error).split()))[:300]
        raise SensoriumError(
            f"{bucket.uri}: no answer, or one that says no: is its name right, and are the region and the keys in the "
            f"environment (of S3: AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)? It was said: {said}"
        ) from error


def erase(place: Path | str) -> None:
    """Removes the collection at a place, if there is one."""
    if isinstance(place, str) and place.startswith(MEMORY):
        _SHELF.pop(place.removeprefix(MEMORY), None)
        return
    store = store_at(place, create=True)
    from sensorium.search.lance import Lance
    from sensorium.search.milvus import Milvus

    if isinstance(store, Lance | Milvus):
        store.erase()


def _in_milvus(place: str, create: bool) -> Store:
    """Looked for before Milvus is asked, which would make what is not there."""
    from sensorium.search.milvus import Milvus

    none = f"{place}: no collection is here; make one with: sensorium index"
    server, _, path = place.removeprefix(MILVUS).partition("/")
    if not re.fullmatch(r"[\w.:[\]-]+" if server else "", server) or not re.fullmatch(r"\w*" if server else r".+\.db", path):
        raise SensoriumError(
            f"{place}: expected milvus://host:port/database, with letters, digits and _ (and user:password in MILVUS_TOKEN), or "
            "milvus:///path/to/name.db"
        )
    if not server and not create and not Path("/", path).is_dir():
        raise BadFile(none)
    made = Milvus(place, create=create)
    if not create and not made.version:
        raise BadFile(none)
    return made


def _check_folder(path: Path, create: bool) -> None:
    """Told before a database is asked, which would make a folder of whatever it is given."""
    inside = {child.name for child in path.iterdir()} if path.is_dir() else set()
    if "manifest.json" in inside and b"sensorium/collection-1" in (path / "manifest.json").read_bytes()[:200]:
        raise BadFile(f"{path}: a collection of an older version: remove it and make it anew with: sensorium index")
    if not create and "rows.lance" not in inside:
        raise BadFile(f"{path}: no collection is here; make one with: sensorium index")
    if path.exists() and (not path.is_dir() or (inside and not inside & {"rows.lance", "about.lance"})):
        raise SensoriumError(f"{path} exists and is no collection: give a new path, or remove it first")
