"""Things behind an address (`s3://bucket/cat.jpg`, `memory://…`, `zip://…`), read with fsspec."""

import re
import time
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

    def read(self) -> bytes:
        """Its bytes. `BadFile` where it is absent, larger than the limit, or cannot be had after some attempts."""
        most = limits().stored_bytes
        try:
            fs, path = opened(self.url)
        except MissingExtra as error:
            raise BadFile(f"{self.url}: {error}") from error
        for attempt in range(ATTEMPTS):
            try:
                with fs.open(path, "rb") as file:
                    data = file.read(most + 1)
                break
            except (FileNotFoundError, IsADirectoryError, PermissionError, KeyError) as error:
                raise BadFile(f"{self.url}: no such object, or no right to read it ({type(error).__name__})") from error
            except Exception as error:  # each protocol's library has exceptions of its own
                if attempt == ATTEMPTS - 1:
                    raise BadFile(
                        f"{self.url}: cannot be read, tried {ATTEMPTS} times: {type(error).__name__}: {error}"
                    ) from error
                time.sleep(0.2 * 2**attempt)
        if len(data) > most:
            raise BadFile(f"{self.url}: more than the limit of {most} bytes (SENSORIUM_LIMITS, stored_bytes)")
        return data


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
