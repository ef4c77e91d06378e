"""Finding items: in a folder a kind with equal stems, in one flat folder, through a manifest, in tar shards, in tables."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from sensorium.core.errors import BadFile, UnknownName
from sensorium.core.protocols import Item
from sensorium.data import hub, manifest, shards
from sensorium.data.columns import Given
from sensorium.data.listing import Listing, Problem, captions_of, problem
from sensorium.data.remote import Remote, found, is_address
from sensorium.data.tar_index import ENDING
from sensorium.data.tracks import with_sounds
from sensorium.modalities import MODALITIES

File = Path | Remote
NOUNS = {"image": "picture", "text": "caption", "audio": "sound", "video": "video", "sensor": "sensor reading"}


class NoTable(UnknownName):
    """Columns were named for what has none."""


def scan(uri: Path | str | Remote, columns: Given | None = None, alone: bool = False) -> Listing:
    """The items behind a path or an address, sorted by id, and what had to be left out.

    A file is a manifest (.csv, .tsv, .jsonl, .parquet) or a tar shard; `train-{000..009}.tar` and `*.tar` are several. A
    folder is, in this order: a Hugging Face data set on disk; a folder with a file `manifest` or `metadata`, read through it;
    folders `images`, `captions`, `audio`, `video` … with equal paths in them, suffixes aside (in `video` a folder of pictures
    is a clip); tar shards; Parquet files with rows of things; files with equal paths in the folder itself. Kinds that were
    registered in `MODALITIES` count as those of the house do. What belongs to no item of a folder, a note among pictures or a
    picture beside `images/`, is left out (`unused`), or is an item of its own (`alone`), as those who search want it. The sound
    track of a video is the sound of its item, where that has no other and `columns` says nothing of "audio" (see `tracks`). No
    hidden files. `columns` says which column of a table holds what. `BadFile` where nothing of this fits.
    """
    listing = _scan(uri, columns, alone)
    told = columns is not None and "audio" in columns
    return listing if told else replace(listing, items=with_sounds(listing.items))


def _scan(uri: Path | str | Remote, columns: Given | None, alone: bool) -> Listing:
    if isinstance(uri, Remote) or (isinstance(uri, str) and is_address(uri) and not uri.startswith("file://")):
        return _remote(uri if isinstance(uri, Remote) else Remote(uri.rstrip("/")), columns, alone)
    path = Path(unquote(uri.removeprefix("file://")) if isinstance(uri, str) and uri.startswith("file://") else uri)
    if not path.is_dir() and shards.is_shards(str(path)):
        return _no_columns(path, shards.scan(shards.expand(str(path))), columns)
    if path.is_file():
        rows = path.suffix.lower() == ".parquet" and hub.holds_files(path)
        return hub.scan_tables(path.parent, [path], columns) if rows else manifest.read(path, columns)
    if not path.is_dir():
        raise BadFile(f"{path}: no such file or folder")
    if hub.is_saved(path):
        return hub.scan(path, columns)
    problems: list[Problem] = []
    return _folder(path, _walk(path, problems), problems, columns, alone)


def _remote(root: Remote, columns: Given | None, alone: bool) -> Listing:
    if root.suffix.lower() in manifest.SUFFIXES and root.is_file():
        return manifest.read(root, columns)
    if shards.is_shards(root.name):
        return _no_columns(root, shards.scan(shards.expand_remote(root.url)), columns)
    files = found(root)
    known = [file for file in files if file.suffix.lower() in _suffixes()]
    if len(known) == 1 and known[0].suffix.lower() == ".parquet":  # one table is a manifest, not the reading of a sensor
        return manifest.read(known[0], columns)
    return _folder(root, files, [], columns, alone)


def _suffixes() -> set[str]:
    """Those of all kinds; a text may be a README."""
    return {suffix for kind, modality in MODALITIES.items() for suffix in modality.suffixes if kind != "text"}


def _folder(path: File, files: Sequence[File], problems: list[Problem], columns: Given | None, alone: bool) -> Listing:
    manifests = [
        f for f in files if f.parent == path and f.stem.lower() in manifest.STEMS and f.suffix.lower() in manifest.SUFFIXES
    ]
    if manifests:
        return _through_manifest(manifests, files, problems, columns)
    folders = _folders()
    inside = [f for f in files if len(_parts(f, path)) > 1 and _parts(f, path)[0].lower() in folders]
    if inside:
        items = _in_folders(path, inside, folders)
        names = sorted({_parts(f, path)[0] + "/" for f in inside})
        layout = f"folders {', '.join(names)}: files with equal paths, suffixes aside, are one item"
    elif tables := _in_tables(path, files, problems, columns):
        return tables
    else:
        items = _side_by_side(path, files)
        layout = "files side by side: those with equal paths, suffixes aside, are one item"
    made, used = _items(items | _alone(path, files, items) if alone else items, problems)
    _refuse_nothing(path, made, problems, files)
    unused = tuple(f for f in files if f not in used and f.parent not in used)
    return _no_columns(path, Listing(path, made, tuple(problems), layout, unused), columns)


Found = dict[str, dict[str, list[File]]]
"""id -> kind -> files."""


def _folders() -> dict[str, str]:
    """Folder -> kind of the files in it, for the kinds that there are now."""
    return {"videos": "video"} | {modality.folder: kind for kind, modality in MODALITIES.items()}


def _parts(file: File, root: File) -> tuple[str, ...]:
    if isinstance(file, Remote):
        assert isinstance(root, Remote)
        return file.relative_to(root).parts
    assert isinstance(root, Path)
    return file.parts[len(root.parts) :]  # `relative_to` compares what is known to be equal, and takes most of a scan


def _walk(root: Path, problems: list[Problem]) -> list[Path]:
    """Every file that is not hidden, sorted; links to folders are not followed, as they may go round in circles."""

    def failed(error: OSError) -> None:
        problems.append(Problem(str(error.filename), "folder", error.strerror or str(error)))

    files: list[Path] = []
    for folder, folders, names in os.walk(root, onerror=failed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = os.path.join(folder, name)
            if name.startswith(".") or name.endswith(ENDING):
                continue
            if os.path.isfile(path):
                files.append(Path(path))
            elif os.path.islink(path) and not os.path.exists(path):
                cause = f"a link to {os.readlink(path)}, which is not there or goes in circles"
                problems.append(Problem(path, "folder", cause))
            else:
                problems.append(Problem(path, "folder", "a pipe, socket or device, not a file"))
    return sorted(files)


def _through_manifest(manifests: list[File], files: Sequence[File], problems: list[Problem], columns: Given | None) -> Listing:
    order = sorted(manifests, key=lambda f: (manifest.STEMS.index(f.stem.lower()), manifest.SUFFIXES.index(f.suffix.lower())))
    first, *others = order
    listing = manifest.read(first, columns)
    problems += [Problem(str(f), "manifest", f"ignored: {first.name} is read instead") for f in others]
    unused: tuple[File, ...] = ()
    if isinstance(listing.items, tuple):  # of lazy items it is not known which files they use before they are read
        used: set[object] = {first, *others, *(raw for item in listing.items for raws in item.raws.values() for raw in raws)}
        told = {problem.path for problem in listing.problems}
        said = {item.id: item.raws.get("text", ()) for item in listing.items}
        unused = tuple(f for f in files if f not in used and str(f) not in told and not _repeats(f, first.parent, said))
    return replace(listing, problems=(*problems, *listing.problems), unused=unused)


def _repeats(file: File, root: File, said: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether a file of captions says of its item what the manifest says of it too."""
    folder, *parts = _parts(file, root)
    if folder != MODALITIES["text"].folder or file.suffix.lower() not in MODALITIES["text"].suffixes:
        return False
    own = said.get(PurePosixPath(*parts).with_suffix("").as_posix(), ())
    try:
        return bool(own) and set(captions_of(file)) <= set(own)
    except BadFile:
        return False


def _in_folders(root: File, files: Iterable[File], folders: dict[str, str]) -> Found:
    items: Found = defaultdict(lambda: defaultdict(list))
    for file in files:
        first, *parts = _parts(file, root)
        kind, suffix = folders[first.lower()], file.suffix.lower()
        inside = PurePosixPath(*parts)
        if suffix in MODALITIES[kind].suffixes:
            items[inside.with_suffix("").as_posix()][kind].append(file)
        elif kind == "video" and suffix in MODALITIES["image"].suffixes and len(parts) > 1 and isinstance(file, Path):
            clips = items[inside.parent.as_posix()][kind]  # a folder of frames is a clip
            clips += [file.parent] if file.parent not in clips else []
    return items


def _in_tables(path: File, files: Sequence[File], problems: list[Problem], columns: Given | None) -> Listing | None:
    """Tar shards, or Parquet files with rows of things, where the folder holds nothing else that is known."""
    known = {suffix for modality in MODALITIES.values() for suffix in modality.suffixes} - {".parquet", ".txt"}
    if any(file.suffix.lower() in known for file in files):
        return None
    tars = [file for file in files if shards.is_shards(file.name)]
    if tars:
        return _with(_no_columns(path, shards.scan(tars), columns), path, problems, [f for f in files if f not in tars])
    if isinstance(path, Remote):
        return None
    local = [file for file in files if isinstance(file, Path)]
    tables = [file for file in local if file.suffix.lower() == ".parquet"]
    if not tables:
        return None
    try:
        listing = hub.scan_tables(path, tables, columns)
    except BadFile:
        if columns or not any(".parquet" in modality.suffixes for modality in MODALITIES.values()):
            raise
        return None  # the files of a sensor, one by one
    return _with(listing, path, problems, [f for f in local if f not in tables])


def _with(listing: Listing, root: File, problems: list[Problem], unused: Sequence[File]) -> Listing:
    return Listing(root, listing.items, (*problems, *listing.problems), listing.layout, tuple(unused))


def _alone(root: File, files: Iterable[File], items: Found) -> Found:
    """What belongs to none of the items, as items of their own; of tables nobody knows what they are."""
    kinds, out = _by_suffix(), Found()
    taken = {file for raws in items.values() for some in raws.values() for file in some}
    for file in files:
        kind, inside = kinds.get(file.suffix.lower()), PurePosixPath(*_parts(file, root))
        if kind in (None, "sensor") or file in taken or file.parent in taken:
            continue
        names = [name.as_posix() for name in (inside.with_suffix(""), inside)]
        if free := [name for name in names if name not in items and name not in out]:
            out[free[0]] = {kind: [file]}
    return out


def _by_suffix() -> dict[str, str]:
    known = reversed(MODALITIES.items())  # so that of two kinds with one suffix the first has it: a GIF alone is a picture
    return {suffix: kind for kind, modality in known for suffix in modality.suffixes}


def _side_by_side(root: File, files: Iterable[File]) -> Found:
    by_suffix = _by_suffix()
    items: Found = defaultdict(lambda: defaultdict(list))
    for file in files:
        if kind := by_suffix.get(file.suffix.lower()):
            items[PurePosixPath(*_parts(file, root)).with_suffix("").as_posix()][kind].append(file)
    kinds = [set(kinds) for kinds in items.values()]
    alone = {"text"}  # where there is anything else, a text alone is a README or a note, not a caption of anything
    if not any("sensor" in one and len(one) > 1 for one in kinds):  # and a lone table is labels.csv, not the reading of a sensor
        alone.add("sensor")
    if any(not one <= alone for one in kinds):
        return {id: kinds for id, kinds in items.items() if not set(kinds) <= alone}
    return items


def _items(items: Found, problems: list[Problem]) -> tuple[tuple[Item, ...], set[File]]:
    """The items, and every file that they use or that is told as a problem."""
    made, used = [], set()
    for id, kinds in sorted(items.items()):
        raws = {}
        for kind, (first, *others) in kinds.items():
            used |= {first, *others}
            problems += [Problem(str(f), kind, f"ignored: {first.name} is used for the item {id!r}") for f in others]
            try:
                raws[kind] = captions_of(first) if kind == "text" else (first,)
            except BadFile as error:
                problems.append(problem(error, first, kind))
        if raws:
            made.append(Item(id, raws))
    return tuple(made), used


def _no_columns(path: File, listing: Listing, columns: Given | None) -> Listing:
    if columns:
        raise NoTable(f"{path}: columns={dict(columns)}: there is no table here: {listing.layout}")
    return listing


def _refuse_nothing(path: File, items: Sequence[Item], problems: list[Problem], files: Sequence[File]) -> None:
    if items:
        return
    if problems:
        raise BadFile(f"{path}: nothing in it can be used. {'; '.join(map(str, problems[:3]))}")
    *nouns, last = [NOUNS.get(kind, kind) for kind in sorted(MODALITIES, key=[*NOUNS, *MODALITIES].index)]
    what = f"none of the {len(files)} files in it is a {', '.join(nouns)} or {last}" if files else "the folder is empty"
    *folders, final = [f"{modality.folder}/" for modality in MODALITIES.values()]
    raise BadFile(
        f"{path}: {what}. Expected folders {', '.join(folders)} and {final} with equal stems; or files side by side "
        "(cat.jpg, cat.txt, cat.wav); or a manifest (manifest.csv, .jsonl, .parquet); or tar shards; or a Hugging Face data set"
    )
