"""Files of NumPy's arrays (.npz) that are larger than memory: written as the arrays grow, read by mapping them."""

import shutil
import struct
import tempfile
import zipfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from sensorium.core.errors import BadFile
from sensorium.core.files import replacing

_LOCAL = struct.Struct("<26xHH")
"""Of the 30 bytes before a member of a zip file: how long its name is, and what else comes before its bytes (APPNOTE, 4.3.7)."""


class Growing:
    """`with Growing(path) as arrays: arrays.add("x", part)`: all parts of an array, one after another along their first axis, are
    in the file under its name once the block has ended; where it fails there is no file. Meanwhile the parts lie beside it."""

    def __init__(self, path: Path):
        self.path = path
        self._files: dict[str, tuple[BinaryIO, np.dtype, tuple[int, ...]]] = {}
        self._open = ExitStack()

    def __enter__(self) -> "Growing":
        self._folder = self._open.enter_context(tempfile.TemporaryDirectory(prefix=f".{self.path.name}.", dir=self.path.parent))
        return self

    def add(self, name: str, part: np.ndarray) -> None:
        """A `ValueError` where the part is of another type than those before it, or its rows of another shape."""
        if name not in self._files:
            file = Path(self._folder, str(len(self._files))).open("w+b")  # noqa: SIM115  # the stack closes it
            self._files[name] = self._open.enter_context(file), part.dtype, part.shape[1:]
        file, *kind = self._files[name]
        if kind != [part.dtype, part.shape[1:]]:
            raise ValueError(f"{name}: a part {part.dtype}{list(part.shape[1:])} a row, where those before it are {kind}")
        file.write(np.ascontiguousarray(part).tobytes())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._open:
            if kind is None:
                self._write()

    def _write(self) -> None:
        with replacing(self.path) as path, zipfile.ZipFile(path, "w", allowZip64=True) as whole:
            for name, (file, dtype, shape) in self._files.items():
                with whole.open(f"{name}.npy", "w", force_zip64=True) as out:
                    _copy(file, dtype, shape, out)


def _copy(file: BinaryIO, dtype: np.dtype, shape: tuple[int, ...], out: Any) -> None:
    rows = file.tell() // max(1, dtype.itemsize * int(np.prod(shape)))
    npy.write_array_header_2_0(out, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (rows, *shape)})
    file.seek(0)
    shutil.copyfileobj(file, out, 1 << 20)


def mapped(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name, which are read where they are looked at; those that are compressed at once. `BadFile` where
    it is none."""
    try:
        with zipfile.ZipFile(path) as whole:
            members = {info.filename.removesuffix(".npy"): info for info in whole.infolist()}
        packed = [name for name, info in members.items() if info.compress_type != zipfile.ZIP_STORED]
        with np.load(path) as arrays:
            out = {name: arrays[name] for name in packed}
        with path.open("rb") as file:
            return out | {name: _mapped(file, info) for name, info in members.items() if name not in out}
    except FileNotFoundError as error:
        raise BadFile(f"{path}: no such file") from error
    except (zipfile.BadZipFile, ValueError, struct.error, OSError, EOFError) as error:
        raise BadFile(f"{path}: not a whole file of NumPy's arrays (.npz): {error}") from error


def _mapped(file: BinaryIO, info: zipfile.ZipInfo) -> np.ndarray:
    file.seek(info.header_offset)
    file.seek(sum(_LOCAL.unpack(file.read(_LOCAL.size))), 1)
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if fortran or dtype.hasobject:
        raise ValueError(f"{info.filename}: objects, or columns first")
    return np.memmap(file, dtype, "r", file.tell(), shape) if np.prod(shape) else np.empty(shape, dtype)
