"""Things behind an address (`s3://bucket/cat.jpg`, `memory://…`, `zip://…`), read with fsspec."""

import os
import re
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sensorium.core.errors import BadFile, MissingExtra, need
from sensorium.core.limits import limits

LIBRARIES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "hf": "huggingface_hub",
} | {
    **{"http": "aiohttp", "https": "aiohttp", "sftp": "paramiko", "ssh": "paramiko", "smb": "smbprotocol"},
    **{"ftp": "", "file": "", "local": "", "memory": "", "zip": ""},
}
"""Protocol -> the library that fsspec reads it with; those of fsspec's that can run what they read are not among them."""
ATTEMPTS = 3
NO_SEEK = "it cannot be read at random places, as a tar shard has to be: copy it to a disk first"
VERSIONS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "mtime", "updated", "created")
"""What stores tell of an object that is another when it was written anew."""


class Lost(BadFile):
    """The connection failed, which says nothing of the object: it may be read another time."""


@dataclass(frozen=True, order=True)
class Remote:
    """One object, or a folder of them, behind an address: a `Stored` thing, and as much of a path as the layouts need."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "Remote":
        """What lies below; of a chained address (`zip://photos::s3://bucket/x.zip`) below its first part."""
        head, mark, rest = self.url.partition("::")
        return Remote(f"{head if head.endswith('://') else head.rstrip('/') + '/'}{name}{mark}{rest}")

    @property
    def _path(self) -> PurePosixPath:
        return PurePosixPath(re.split(r"[?#]", self.url.partition("::")[0].partition("://")[2])[0])

    @property
    def place(self) -> str:
        """Its path in its store, as it is called there."""
        return self._path.as_posix()

    @property
    def name(self) -> str:
        return self._path.name

    @property
    def stem(self) -> str:
        return self._path.stem

    @property
    def suffix(self) -> str:
        return self._path.suffix

    @property
    def parent(self) -> "Remote":
        head, mark, rest = self.url.partition("::")
        scheme, _, path = head.partition("://")
        return Remote(f"{scheme}://{path.rpartition('/')[0]}{mark}{rest}")

    def relative_to(self, folder: "Remote") -> PurePosixPath:
        return self._path.relative_to(folder._path)

    def is_file(self) -> bool:
        fs, path = opened(self.url)
        return bool(fs.isfile(path))

    def state(self) -> tuple[int, int]:
        """Its size in bytes, and a number made of what its store says of its version (ETag, times); `BadFile` without a size."""
        fs, path = opened(self.url)
        try:
            about = fs.info(path)
        except Exception as error:  # each protocol's library has exceptions of its own
            raise BadFile(f"{self.url}: no such object, or no right to read it ({type(error).__name__}: {error})") from error
        if about.get("type") == "directory" or not isinstance(about.get("size"), int):
            raise BadFile(f"{self.url}: {NO_SEEK} (no size is told)")
        return about["size"], zlib.crc32(repr([(name, str(about[name])) for name in VERSIONS if name in about]).encode())

    @contextmanager
    def seekable(self) -> Iterator["Seekable"]:
        """It as a file that is read at any place; `BadFile` where it cannot be, or is lost while it is read."""
        fs, path = opened(self.url)
        try:
            file = fs.open(path, "rb")
        except Exception as error:  # each protocol's library has exceptions of its own
            raise BadFile(f"{self.url}: no such object, or no right to read it ({type(error).__name__}: {error})") from error
        with file:
            whole = Seekable(self.url, file)
            if whole.seek(0, os.SEEK_END) != self.state()[0]:
                raise BadFile(f"{self.url}: {NO_SEEK}")
            whole.seek(0)
            yield whole

    def piece(self, start: int, size: int) -> bytes:
        """`size` bytes of it from `start`, or those that are there; `BadFile` where they cannot be had after some attempts."""
        fs, path = opened(self.url)
        return _tried(self.url, lambda: fs.cat_file(path, start=start, end=start + size))

    def read(self) -> bytes:
        """Its bytes. `BadFile` where it is absent, larger than the limit, or cannot be had after some attempts."""
        most = limits().stored_bytes
        try:
            fs, path = opened(self.url)
        except MissingExtra as error:
            raise BadFile(f"{self.url}: {error}") from error

        def begin() -> bytes:
            with fs.open(path, "rb") as file:
                return file.read(most + 1)

        data = _tried(self.url, begin)
        if len(data) > most:
            raise BadFile(f"{self.url}: more than the limit of {most} bytes (SENSORIUM_LIMITS, stored_bytes)")
        return data


def _tried(url: str, read: Callable[[], bytes]) -> bytes:
    """What `read` gives, after some attempts; `BadFile` where there is nothing to be had, `Lost` where it failed each time."""
    for attempt in range(ATTEMPTS):
        try:
            return read()
        except (FileNotFoundError, IsADirectoryError, PermissionError, KeyError) as error:
            raise BadFile(f"{url}: no such object, or no right to read it ({type(error).__name__})") from error
        except Exception as error:  # each protocol's library has exceptions of its own
            if attempt == ATTEMPTS - 1:
                raise Lost(f"{url}: cannot be read, tried {ATTEMPTS} times: {type(error).__name__}: {error}") from error
            time.sleep(0.2 * 2**attempt)
    raise AssertionError(ATTEMPTS)


class Seekable:
    """A file of fsspec's of which every error is a `BadFile`, and never taken for the end of it."""

    def __init__(self, url: str, file: Any):
        self._url, self._file = url, file

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        try:
            self._file.seek(place, whence)
            return int(self._file.tell())
        except Exception as error:  # each protocol's library has exceptions of its own
            raise BadFile(f"{self._url}: {NO_SEEK} ({type(error).__name__}: {error})") from error

    def tell(self) -> int:
        return int(self._file.tell())

    def read(self, size: int = -1) -> bytes:
        start = self.tell()

        def again() -> bytes:
            self._file.seek(start)
            return self._file.read(size)

        return _tried(self._url, again)


def is_address(text: str) -> bool:
    """Whether a text is an address (`scheme://…`) rather than a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.\-]*://", text) is not None


def opened(url: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it. `MissingExtra` names the library that the protocol wants."""
    fsspec = need("fsspec", "hub", f"Reading {url}")
    for part in url.split("::"):
        protocol = part.partition("://")[0].lower() if is_address(part) else "file"
        if protocol not in LIBRARIES:
            raise BadFile(f"{url}: no way to read {protocol}://. Known: {', '.join(f'{name}://' for name in LIBRARIES)}")
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        library = LIBRARIES[url.partition("://")[0].lower()]
        raise MissingExtra(f"Reading {url} needs {library} ({error}). Install it with: pip install {library}") from error
    except (OSError, ValueError) as error:  # an archive that is none, an address without a host
        raise BadFile(f"{url}: {error}") from error


def matching(pattern: Remote) -> list[Remote]:
    """The objects that an address with `*` names, sorted; `BadFile` where there is none."""
    if "::" in pattern.url:
        raise BadFile(f"{pattern.url}: * in an address that leads through another one: name the objects, or use {{a,b}}")
    fs, path = opened(pattern.url)
    try:
        names = sorted(str(name) for name in fs.glob(path))
    except Exception as error:  # each protocol's library has exceptions of its own
        raise BadFile(f"{pattern.url}: cannot be listed: {type(error).__name__}: {error}") from error
    if not names:
        raise BadFile(f"{pattern.url}: no such object")
    before = len(path.partition("*")[0])  # as far as a name is the same in the address and in its store
    return [Remote(pattern.url.partition("*")[0] + name[before:]) for name in names]


def found(folder: Remote) -> list[Remote]:
    """Every object below a folder that is not hidden, sorted; `BadFile` where there is no such folder."""
    fs, path = opened(folder.url)
    try:
        names = fs.find(path)
    except Exception as error:  # each protocol's library has exceptions of its own
        raise BadFile(f"{folder.url}: cannot be listed: {type(error).__name__}: {error}") from error
    if not names:
        raise BadFile(f"{folder.url}: no such file or folder, or an empty one")
    if names == [path]:
        raise BadFile(f"{folder.url}: one object: expected a folder of them, or a manifest (.csv, .tsv, .jsonl, .parquet)")
    root = PurePosixPath(path)
    inside = sorted(PurePosixPath(name).relative_to(root) if name.startswith(path) else PurePosixPath(name) for name in names)
    return [folder / str(name) for name in inside if not any(part.startswith(".") for part in name.parts)]
