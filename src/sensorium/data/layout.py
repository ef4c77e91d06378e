"""Finding items among files: a folder a kind with equal stems, or one flat folder, or a manifest."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Item
from sensorium.data import manifest
from sensorium.data.listing import Listing, Problem, captions_of, problem
from sensorium.modalities import MODALITIES

LAYOUTS = (
    "folders images/, captions/, audio/ and video/ with equal stems; or files side by side (cat.jpg, cat.txt, cat.wav); "
    "or a manifest"
)
FOLDERS = {"videos": "video"} | {modality.folder: kind for kind, modality in MODALITIES.items()}
"""Folder -> kind of the files in it."""


def scan(path: Path | str) -> Listing:
    """The items of a folder or of a manifest file, sorted by id, and what had to be left out.

    A folder with a file `manifest` or `metadata` (.csv, .tsv, .jsonl) is read through it. Else, if it has folders `images`,
    `captions`, `audio` or `video` (or `videos`), the files with equal paths in them, suffixes aside, make an item; else the
    files with equal paths in the folder itself do. Hidden files are ignored. `BadFile` where nothing of this fits.
    """
    path = Path(path)
    if path.is_file():
        return manifest.read(path)
    if not path.is_dir():
        raise BadFile(f"{path}: no such file or folder")
    problems: list[Problem] = []
    files = _walk(path, problems)
    manifests = [
        f for f in files if f.parent == path and f.stem.lower() in manifest.STEMS and f.suffix.lower() in manifest.SUFFIXES
    ]
    if manifests:
        return _through_manifest(manifests, files, problems)
    inside = [f for f in files if len(f.relative_to(path).parts) > 1 and f.relative_to(path).parts[0].lower() in FOLDERS]
    if inside:
        found = _in_folders(path, inside)
        names = sorted({f.relative_to(path).parts[0] + "/" for f in inside})
        layout = f"folders {', '.join(names)}: files with equal paths, suffixes aside, are one item"
    else:
        found = _side_by_side(path, files)
        layout = "files side by side: those with equal paths, suffixes aside, are one item"
    items, used = _items(found, problems)
    _refuse_nothing(path, items, problems, files)
    return Listing(path, items, tuple(problems), layout, tuple(f for f in files if f not in used))


Found = dict[str, dict[str, list[Path]]]
"""id -> kind -> files."""


def _walk(root: Path, problems: list[Problem]) -> list[Path]:
    """Every file that is not hidden, sorted; links to folders are not followed, as they may go round in circles."""

    def failed(error: OSError) -> None:
        problems.append(Problem(str(error.filename), "folder", error.strerror or str(error)))

    files: list[Path] = []
    for folder, folders, names in os.walk(root, onerror=failed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(files)


def _through_manifest(manifests: list[Path], files: list[Path], problems: list[Problem]) -> Listing:
    first, *others = sorted(
        manifests, key=lambda f: (manifest.STEMS.index(f.stem.lower()), manifest.SUFFIXES.index(f.suffix.lower()))
    )
    listing = manifest.read(first)
    problems += [Problem(str(f), "manifest", f"ignored: {first.name} is read instead") for f in others]
    used = {
        first,
        *others,
        *(raw for item in listing.items for raws in item.raws.values() for raw in raws if isinstance(raw, Path)),
    }
    used |= {Path(p.path) for p in listing.problems}
    unused = tuple(f for f in files if f not in used and f not in listing.unused)
    return Listing(first.parent, listing.items, (*problems, *listing.problems), listing.layout, unused)


def _in_folders(root: Path, files: Iterable[Path]) -> Found:
    found: Found = defaultdict(lambda: defaultdict(list))
    for file in files:
        parts = file.relative_to(root).parts
        kind = FOLDERS[parts[0].lower()]
        if file.suffix.lower() in MODALITIES[kind].suffixes:
            found[Path(*parts[1:]).with_suffix("").as_posix()][kind].append(file)
    return found


def _side_by_side(root: Path, files: Iterable[Path]) -> Found:
    kinds = reversed(MODALITIES.items())  # so that of two kinds with one suffix the first has it: a GIF alone is a picture
    by_suffix = {suffix: kind for kind, modality in kinds for suffix in modality.suffixes}
    found: Found = defaultdict(lambda: defaultdict(list))
    for file in files:
        if kind := by_suffix.get(file.suffix.lower()):
            found[file.relative_to(root).with_suffix("").as_posix()][kind].append(file)
    if any(set(kinds) != {"text"} for kinds in found.values()):  # then a text alone is a README, not a caption of anything
        return {id: kinds for id, kinds in found.items() if set(kinds) != {"text"}}
    return found


def _items(found: Found, problems: list[Problem]) -> tuple[tuple[Item, ...], set[Path]]:
    """The items, and every file that they use or that is told as a problem."""
    items, used = [], set()
    for id, kinds in sorted(found.items()):
        raws = {}
        for kind, (first, *others) in kinds.items():
            used |= {first, *others}
            problems += [Problem(str(f), kind, f"ignored: {first.name} is used for the item {id!r}") for f in others]
            try:
                raws[kind] = captions_of(first) if kind == "text" else (first,)
            except BadFile as error:
                problems.append(problem(error, first, kind))
        if raws:
            items.append(Item(id, raws))
    return tuple(items), used


def _refuse_nothing(path: Path, items: tuple[Item, ...], problems: list[Problem], files: list[Path]) -> None:
    if items:
        return
    if problems:
        raise BadFile(f"{path}: nothing in it can be used. {'; '.join(map(str, problems[:3]))}")
    what = f"none of the {len(files)} files in it is a picture, caption, sound or video" if files else "the folder is empty"
    raise BadFile(f"{path}: {what}. Expected {LAYOUTS}")
