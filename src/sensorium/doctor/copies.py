"""What is there more than once, and whether it stands on both sides of a split."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sensorium.core.protocols import Item
from sensorium.data.listing import printable
from sensorium.data.splits import SPLITS, side, split
from sensorium.doctor.finding import Finding, found

Paths = tuple[str, ...]


def equal(groups: Iterable[Paths]) -> list[Finding]:
    """Groups of files with the same bytes."""
    return [found("equal files", group, f"{len(group)} files have the same bytes") for group in groups]


def near(kind: str, groups: Iterable[Paths], same: Iterable[Paths]) -> list[Finding]:
    """Groups of things that are nearly the same; `same`: those of equal bytes, which are told already."""
    first = {path: group[0] for group in same for path in group}
    out = []
    for group in groups:
        if len({first.get(path, path) for path in group}) > 1:
            out.append(found(kind, group, f"{len(group)} files look or sound the same, though their bytes differ"))
    return out


def across_splits(items: Sequence[Item], groups: Iterable[Paths]) -> list[Finding]:
    """The groups of copies of which some are in an item of training and others in one of validation."""
    validation = {item.id for item in split(items, "validation")}
    training = {item.id for item in split(items, "train")}
    owners: dict[str, set[str]] = defaultdict(set)
    for item in items:
        for raws in item.raws.values():
            for raw in raws:
                owners[str(raw)].add(item.id)
    out: dict[Paths, Finding] = {}
    for group in groups:
        ids = {id for path in group for id in owners[path]}
        kept, learnt = ids & validation, ids & training
        if kept and learnt:
            what = f"{_few(kept)} would be kept for validation, {_few(learnt)} trained on"
            out[group] = found("copies across splits", group, what)
    return list(out.values())


def groups_across_splits(items: Iterable[Item], where: Callable[[Item], str]) -> list[Finding]:
    """The groups (`Item.group`) of which some items are in one split and others in another, as their source says."""
    groups: dict[str, dict[str, list[Item]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        if item.group:
            groups[item.group][side(item)].append(item)
    out = []
    for name, sides in sorted(groups.items()):
        if len(sides) > 1:
            told = ", ".join(f"{len(sides[one])} in {one}" for one in SPLITS if one in sides)
            paths = dict.fromkeys(where(item) for one in SPLITS for item in sides.get(one, ()))
            out.append(found("group across splits", paths, f"of the items of group {printable(name)!r} are {told}"))
    return out


def leaking(findings: Iterable[Finding], items: Sequence[Item]) -> frozenset[str]:
    """The ids of the items of training that have a copy in validation, equal or nearly: without them no side knows the other."""
    copied = {path for one in findings if one.kind == "copies across splits" for path in one.paths}
    training = split(items, "train")
    return frozenset(item.id for item in training if any(str(raw) in copied for raws in item.raws.values() for raw in raws))


def _few(ids: set[str]) -> str:
    names = sorted(ids)
    return ", ".join(Path(name).name for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
