"""What a bulk job is: from where, by which model, to where, in how many shards; and the file that holds a folder to one job."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sensorium import __version__
from sensorium.checkpoints.lock import InUse, RunLock
from sensorium.core.errors import BadFile, SensoriumError
from sensorium.core.files import read_json, write_json
from sensorium.data.columns import Given
from sensorium.data.door import whole
from sensorium.search.collection import placed

FORMAT = "sensorium/embedded-1"
PER_SHARD = 10_000
"""Items a shard unless told otherwise: some minutes of a device, some 100 MB of a file, and what is done twice after a crash."""
_NAME = "spec.json"
_HOLDS = {"hash", "identity", "spec", "root", "kinds", "problems"}


class OtherJob(SensoriumError):
    """A folder holds what another job has written; the text says what differs."""


@dataclass(frozen=True)
class Spec:
    """A bulk job. JSON holds it, and every process that gets it makes the same rows of it.

    `source`: whatever `sensorium.data.scan` opens; `model`: what `sensorium.load` takes; `out`: a folder that all processes
    see; `columns`: as for `scan`; `use`: Python files to import first (modalities of one's own). `patience`: seconds that at most
    `trail.BLOCK` items may take, compiling included; a process that hangs for longer **is ended**, and what it hung at is
    found as a record that kills is. None: nobody looks.
    """

    source: str
    model: str
    out: str
    shards: int
    columns: dict[str, list[str]] | None = None
    use: tuple[str, ...] = ()
    patience: float | None = None

    def __post_init__(self) -> None:
        if self.shards < 1:
            raise SensoriumError(f"{self.shards} shards: expected at least 1")
        if self.patience is not None and not self.patience > 0:
            raise SensoriumError(f"patience of {self.patience} s: expected seconds above 0, or none")

    @classmethod
    def of(
        cls,
        source: Path | str,
        model: Path | str,
        out: Path | str,
        shards: int | None = None,
        columns: Given | None = None,
        use: Sequence[Path | str] = (),
        patience: float | None = None,
    ) -> "Spec":
        """With paths as they are called from any directory. Without `shards`: those of the job that `out` holds already, or
        else one for each `PER_SHARD` items, which are listed for it."""
        if shards is None:
            kept = read_told(out)
            shards = int(kept["identity"]["shards"]) if kept else _suiting(source, columns)
        said = {role: [names] if isinstance(names, str) else list(names) for role, names in (columns or {}).items()}
        files = tuple(str(Path(file).resolve()) for file in use)
        return cls(whole(source), placed(model), str(Path(out).resolve()), shards, said or None, files, patience)

    @property
    def text(self) -> str:
        """The spec as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    def items(self, shard: int, count: int) -> range:
        """Which of `count` items, by their numbers in the listing, are dealt to a shard: neighbours, and as many to each."""
        if not 0 <= shard < self.shards:
            raise SensoriumError(f"shard {shard} of {self.shards}: expected a number from 0 to {self.shards - 1}")
        return range(shard * count // self.shards, (shard + 1) * count // self.shards)


def fingerprint(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def read_told(out: Path | str) -> dict[str, Any] | None:
    """What stands in the `spec.json` of a folder, None where there is none; `BadFile` where it is of another format."""
    path = Path(out) / _NAME
    if not path.is_file():
        return None
    told = read_json(path)
    if not isinstance(told, dict) or told.get("format") != FORMAT or _HOLDS - told.keys():
        raise BadFile(f"{path}: not of the format {FORMAT}: give another folder, or remove it")
    return told


def settle(spec: Spec, identity: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Writes who the job is into its folder, or compares with what stands there; the hash of the identity.

    `OtherJob` where the folder is another job's. Of several processes that begin at once, one writes.
    """
    out, mine = Path(spec.out), fingerprint(identity)
    kept = read_told(out)
    if kept is None:
        _only_ours(out)
        with _patiently(out / "work"):
            kept = read_told(out)
            if kept is None:
                kept = {"format": FORMAT, "hash": mine, "identity": dict(identity), "spec": _without_out(spec)}
                write_json(out / _NAME, {**kept, **about, "sensorium": __version__})
    if kept["hash"] != mine:
        there = kept["identity"]
        differs = [
            f"{key}: {there.get(key)!r} there, {value!r} now" for key, value in identity.items() if there.get(key) != value
        ]
        raise OtherJob(f"{out} is the place of another job: {'; '.join(differs)}. Give another --out, or remove it")
    return mine


def _suiting(source: Path | str, columns: Given | None) -> int:
    from sensorium.data import scan

    return max(1, -(-len(scan(source, columns).items) // PER_SHARD))


def _without_out(spec: Spec) -> dict[str, Any]:
    """The folder may be moved afterwards."""
    return {key: value for key, value in asdict(spec).items() if key != "out"}


@contextmanager
def _patiently(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder, which others hold for an instant only."""
    lock, until = RunLock(folder), time.monotonic() + 60
    while True:
        try:
            lock.take()
            break
        except InUse:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
    try:
        yield
    finally:
        lock.free()


def _only_ours(out: Path) -> None:
    """`SensoriumError` where a folder without a job holds anything that is not of one which begins just now."""
    mine = ("work", "embed.sbatch", _NAME)
    names = [path.name for path in out.iterdir()] if out.is_dir() else []
    strange = sorted(name for name in names if name not in mine and not name.startswith(f".{_NAME}."))
    if strange and read_told(out) is None:
        raise SensoriumError(f"{out} holds other files ({', '.join(strange[:3])}) and no {_NAME}: give another --out")
