"""Folders that are trusted only as they were written: a manifest, written last, holds the size and SHA-256 of every file."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sensorium.core.errors import BadFile
from sensorium.core.files import sha256, sync

MANIFEST = "manifest.json"
FORMAT = 1


def seal(folder: Path, about: Mapping[str, Any]) -> None:
    """Writes every file and folder below `folder` through to the disk, and then the manifest, which also holds `about`.

    The folder is not yet safe from a power cut under its name: rename it into place, and `sync` the folder above.
    """
    files = {}
    for name in _names(folder):
        path = folder / name
        sync(path)
        files[name] = {"size": path.stat().st_size, "sha256": sha256(path)}
    for root, _, _ in os.walk(folder, topdown=False):
        sync(root)
    manifest = folder / MANIFEST
    manifest.write_bytes(_rendered({"format": FORMAT, "about": dict(about), "files": files}))
    sync(manifest)
    sync(folder)


def read_seal(folder: Path) -> dict[str, Any]:
    """What the manifest is `about`; a `BadFile` where the manifest is absent or not as it was written. Looks at no other file."""
    return _manifest(folder)["about"]


def verify(folder: Path) -> dict[str, Any]:
    """What the manifest is `about`, once every file was found to be as it was written; else a `BadFile` names the first that
    differs, and how. Sizes are compared before any file is read."""
    manifest = _manifest(folder)
    expected = manifest["files"]
    try:
        names = set(_names(folder))
        if missing := sorted(expected.keys() - names):
            raise BadFile(f"{folder / missing[0]}: no such file, and the manifest lists it")
        if unknown := sorted(names - expected.keys()):
            raise BadFile(f"{folder / unknown[0]}: the manifest does not list this file; it was put here later")
        for name, told in expected.items():
            size = (folder / name).stat().st_size
            if size != told["size"]:
                raise BadFile(f"{folder / name}: {size} bytes, and {told['size']} were written")
        for name, told in expected.items():
            found = sha256(folder / name)
            if found != told["sha256"]:
                raise BadFile(
                    f"{folder / name}: its SHA-256 is {found}, and {told['sha256']} was written: the bytes have changed"
                )
    except OSError as error:  # a disk that cannot read a sector says so here
        raise BadFile(f"{error.filename or folder}: cannot be read: {error.strerror or error}") from error
    return manifest["about"]


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise BadFile(f"{path}: a plain file is expected here")
    try:
        written = path.read_bytes()
    except FileNotFoundError as error:
        raise BadFile(f"{path}: no such file: {folder.name} is not whole") from error
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        value = json.loads(written)
        # Every byte counts, also one between two values: it must be what would be written today.
        good = isinstance(value, dict) and written == _rendered({k: v for k, v in value.items() if k != "sha256"})
    except ValueError as error:
        raise BadFile(f"{path}: not JSON: {error}") from error
    if not good:
        raise BadFile(f"{path}: not as it was written: its own SHA-256 does not fit its text")
    if value["format"] != FORMAT:
        raise BadFile(f"{path}: format {value['format']}, and this version reads format {FORMAT}: use the version that wrote it")
    return value


def _rendered(value: dict[str, Any]) -> bytes:
    """The manifest's bytes, with its own SHA-256 in them."""
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
    return (json.dumps(value | {"sha256": digest}, sort_keys=True, indent=1) + "\n").encode()


def _names(folder: Path) -> list[str]:
    """Every file below `folder` but the manifest, with forward slashes, sorted. A `BadFile` for a link, a pipe or a device."""
    names = []
    for root, _, files in os.walk(folder):
        for file in files:
            path = Path(root) / file
            if path.is_symlink() or not path.is_file():
                raise BadFile(f"{path}: a plain file is expected here")
            names.append(path.relative_to(folder).as_posix())
    return sorted(name for name in names if name != MANIFEST)
