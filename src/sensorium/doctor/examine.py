"""The examination: each file is decoded once and a few numbers of it are kept; the findings are made of these."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sensorium.core.protocols import Item, Modality
from sensorium.data.columns import Given
from sensorium.data.health import Health, Seen, check
from sensorium.doctor import captions, clips, copies, names, pairs, pictures, sounds, traces
from sensorium.doctor.finding import SEVERITIES, Finding
from sensorium.modalities import MODALITIES

MEASURES: dict[str, Callable[[Seen], Any]] = {
    "image": pictures.measure,
    "audio": sounds.measure,
    "video": clips.measure,
    "sensor": traces.measure,
}
"""By kind; a user's own modality is decoded and counted, but not looked into."""


@dataclass(frozen=True)
class Report:
    """What a folder holds, and what is wrong with it, the worst first. `scripts`: captions by the script of their letters;
    `lengths`: by field, that of each thing, and the window (seconds, tokens)."""

    health: Health
    findings: tuple[Finding, ...]
    scripts: dict[str, int]
    lengths: dict[str, tuple[tuple[float, ...], float]]

    def to_json(self) -> dict[str, Any]:
        """The report of `Health`, with `scripts` and `findings`."""
        return {**self.health.to_json(), "scripts": self.scripts, "findings": [one.to_json() for one in self.findings]}


class _Looking:
    """Keeps what is measured of each whole thing, by its kind; called from several threads."""

    def __init__(self):
        self.kept: dict[str, dict[str, Any]] = {kind: {} for kind in MEASURES}
        self.tokens: dict[str, tuple[float, float]] = {}
        """Of each caption: how many it has, and how many are read."""
        self.lengths: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def __call__(self, seen: Seen) -> None:
        kind = seen.field.kind
        if seen.length:
            self.lengths[seen.field.name].append(seen.length)
        if kind in MEASURES:
            self.kept[kind][str(seen.raw)] = MEASURES[kind](seen)
        elif kind == "text" and seen.length:
            self.tokens[seen.raw] = seen.length

    def of(self, kind: str) -> list[Any]:
        """The measurements of a kind, sorted by path: threads end in any order."""
        return [self.kept[kind][path] for path in sorted(self.kept[kind])]


def examine(
    path: Path | str | Sequence[Path | str],
    fields: Sequence[Modality] | None = None,
    progress: Callable[[int, int], None] | None = None,
    audit: pairs.Audit | None = None,
    columns: Given | None = None,
) -> Report:
    """Everything that can be told of a folder or manifest, or of several together. `audit`: a model to look at its pairs with.
    `columns`: which column of a table holds what.

    `BadFile` where there is nothing to look at.
    """
    looking = _Looking()
    health = check(path, fields, progress, looking, columns)
    texts = caption_files(health)
    said = _captions(health, looking, texts)
    place = partial(where, health, texts)
    found = [
        *_of_names(health, texts),
        *captions.findings(said, len(health.listing.items)),
        *captions.near_equal(said),
        *pictures.findings(looking.of("image")),
        *sounds.findings(looking.of("audio")),
        *clips.findings(looking.of("video")),
        *traces.findings(looking.of("sensor")),
        *_of_copies(health, looking),
        *copies.groups_across_splits(health.good, place),
        *pairs.missing(health.listing.items, _told(health), place),
    ]
    if audit:
        found += pairs.mismatched(health.good, audit, place)
    order = {severity: rank for rank, severity in enumerate(SEVERITIES)}
    found = sorted(dict.fromkeys(found), key=lambda one: (order[one.advice.severity], one.kind, -one.degree, one.paths))
    lengths = {name: (tuple(sorted(n for n, _ in each)), each[0][1]) for name, each in looking.lengths.items()}
    return Report(health, tuple(found), captions.scripts(said), lengths)


def where(health: Health, texts: dict[str, Path], item: Item) -> str:
    """The file by which a person finds an item: its first one, or that of its captions (`texts`), or its name."""
    files = [str(raw) for raws in item.raws.values() for raw in raws if not isinstance(raw, str)]
    return files[0] if files else str(texts.get(item.id) or f"{health.listing.root}/{item.id}")


def caption_files(health: Health) -> dict[str, Path]:
    """id -> the file of its captions, where it has one: `captions/<id>.txt`, or `<id>.txt` among files side by side."""
    root, text, out = health.listing.root, MODALITIES["text"], {}
    if not isinstance(root, Path):
        return {}
    suffixes = (*text.suffixes, *map(str.upper, text.suffixes))
    for item in health.listing.items:
        if "text" in item.raws and not item.line:
            places = (root / folder / f"{item.id}{suffix}" for folder in (text.folder, ".") for suffix in suffixes)
            file = next((place for place in places if place.is_file()), None)
            if file:
                out[item.id] = file
    return out


def _captions(health: Health, looking: _Looking, files: dict[str, Path]) -> list[captions.Caption]:
    """Every caption with the file that it stands in, or the item's name where that is a manifest."""
    out = []
    for item in health.listing.items:
        for text in item.raws.get("text", ()):
            tokens, window = looking.tokens.get(text, (0.0, 0.0))
            place = str(files.get(item.id) or f"{health.listing.root}/{item.id}")
            out.append(captions.Caption(place, item.id, text, tokens, window))
    return out


def _of_names(health: Health, texts: dict[str, Path]) -> list[Finding]:
    files = sorted({raw for item in health.good for raws in item.raws.values() for raw in raws if isinstance(raw, Path)})
    told = (Path(p.path) for p in health.broken)
    unused = (file for file in health.listing.unused if isinstance(file, Path))
    return [
        *names.broken(health.broken),
        *names.wrong_suffixes(file for file in files if file.is_file()),
        *names.alike_but_for_case((*files, *texts.values(), *told, *unused)),
        *names.marked(texts.values()),
        *names.unused(health),
    ]


def _of_copies(health: Health, looking: _Looking) -> list[Finding]:
    same = health.duplicates
    seen, heard = pictures.near_equal(looking.of("image")), sounds.near_equal(looking.of("audio"))
    return [
        *copies.equal(same),
        *copies.near("near-equal pictures", seen, same),
        *copies.near("near-equal sounds", heard, same),
        *copies.across_splits(health.good, _wider([*same, *seen, *heard])),
    ]


def _wider(groups: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The groups that lie in no other one."""
    sets = {frozenset(group) for group in groups}
    of: dict[str, set[frozenset[str]]] = {}
    for one in sets:
        for path in one:
            of.setdefault(path, set()).add(one)
    return sorted(tuple(sorted(one)) for one in sets if not any(one < other for other in of[min(one)]))


def _told(health: Health) -> set[tuple[str, str]]:
    """The (id, kind) of what an item would have, were it not broken."""
    root, out = health.listing.root, set()
    for p in health.broken:
        path = Path(p.path).with_suffix("")
        if isinstance(root, Path) and path.is_relative_to(root):
            parts = path.relative_to(root).parts
            out |= {(Path(*parts[start:]).as_posix(), p.kind) for start in (0, 1)}  # side by side, or in a folder of its kind
    return out
