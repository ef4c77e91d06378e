import zipfile

import numpy as np
import pytest

from sensorium.core.errors import BadFile
from sensorium.search.npz import Growing, mapped


def test_arrays_that_grow_are_what_numpy_reads_and_are_mapped(tmp_path):
    path, rng = tmp_path / "x.npz", np.random.default_rng(0)
    parts = {
        "floats": [rng.normal(size=(n, 3)).astype(np.float16) for n in (5, 0, 2)],
        "bytes": [np.arange(n, dtype=np.uint8) for n in (7, 1)],
        "none": [np.empty((0, 4), np.int64)] * 2,
    }
    with Growing(path) as arrays:
        for name, some in parts.items():
            for part in some:
                arrays.add(name, part)
    assert [one.name for one in tmp_path.iterdir()] == ["x.npz"]
    read, there = np.load(path), mapped(path)
    for name, some in parts.items():
        whole = np.concatenate(some)
        for found in (read[name], there[name]):
            assert found.dtype == whole.dtype and found.shape == whole.shape and (found == whole).all()
    assert isinstance(there["floats"], np.memmap)


def test_what_numpy_wrote_is_read_packed_or_not(tmp_path):
    x = {"a": np.arange(12.0).reshape(3, 4), "b": np.array([True, False])}
    for name, save in (("plain", np.savez), ("packed", np.savez_compressed)):
        save(tmp_path / f"{name}.npz", **x)
        found = mapped(tmp_path / f"{name}.npz")
        assert set(found) == set(x) and all((found[key] == x[key]).all() for key in x), name


def test_nothing_is_left_of_what_failed(tmp_path):
    with pytest.raises(ValueError, match=r"x: a part int64\[3\] a row"), Growing(tmp_path / "x.npz") as arrays:
        arrays.add("x", np.zeros((2, 3), np.float32))
        arrays.add("x", np.zeros((2, 3), np.int64))
    assert not list(tmp_path.iterdir())


def test_what_is_no_file_of_arrays_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("no arrays")
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as whole:
        whole.writestr("a.npy", b"no array")
    np.savez(tmp_path / "objects.npz", x=np.array([{}], object))
    for name in ("none.npz", "text.npz", "zip.npz", "objects.npz"):
        with pytest.raises(BadFile, match=name):
            mapped(tmp_path / name)
