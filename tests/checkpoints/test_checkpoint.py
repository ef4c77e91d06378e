"""Checkpoints are whole or absent, and what is read is what was saved: whatever is flipped, cut, killed or moved."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checkpoints.saving import arrays, check_whole, save
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sensorium.checkpoints.arrays import digest, read
from sensorium.checkpoints.checkpoint import Checkpoints
from sensorium.core import sealed
from sensorium.core.errors import BadFile, SensoriumError
from sensorium.core.files import sync
from sensorium.core.sealed import seal

STATE = "state.json"


def every_kind() -> dict[str, jax.Array]:
    mesh = Mesh(np.array(jax.devices()[:2]), ("data",))
    return {
        "key": jax.random.key(3),
        "keys": jax.random.split(jax.random.key(1, impl="rbg"), 4),
        "bfloat16": jnp.asarray([1.5, -0.0], jnp.bfloat16),
        "nan": jnp.asarray([jnp.nan, jnp.inf, 1e-45]),
        "uint32": jnp.asarray(2**32 - 1, jnp.uint32),
        "int8": jnp.asarray(-128, jnp.int8),
        "bool": jnp.asarray(True),
        "empty": jnp.zeros((0, 3)),
        "no keys": jax.random.split(jax.random.key(1), 4)[:0],
        "cut": jax.device_put(jnp.arange(8.0), NamedSharding(mesh, PartitionSpec("data"))),
        "a": jnp.ones(2),
        "a/b": jnp.ones(2) * 2,
        "a.b": jnp.ones(2) * 3,
        "a/": jnp.ones(2) * 5,  # with Orbax alone it is read as "a"
        "ä b%2F": jnp.ones(2) * 4,
    }


def test_every_kind_of_array_comes_back_bit_by_bit_with_the_rest(tmp_path):
    before, about = every_kind(), {"stream": [1, {"z": None}], "best": float("-inf")}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(7, before, about, best=True, notes={"loss": 0.5})
    saved = Checkpoints(tmp_path).load()
    assert saved is not None and (saved.step, saved.best, saved.told) == (7, True, ())
    assert saved.about == about and saved.notes == {"loss": 0.5}
    assert {name: (x.dtype, x.shape) for name, x in saved.arrays.items()} == {n: (x.dtype, x.shape) for n, x in before.items()}
    assert digest(saved.arrays, saved.about) == digest(before, about)
    assert jax.random.uniform(saved.arrays["keys"][2]) == jax.random.uniform(before["keys"][2])


def test_the_digest_sees_every_array_its_name_type_and_shape_and_the_rest():
    def of(about=None, **changes):
        return digest(arrays(1) | changes, {"a": 1, "b": 2} if about is None else about)

    seen = [
        of(),
        of({"a": 1, "b": 3}),
        of(x=jnp.zeros(())),
        of(count=jnp.asarray(1, jnp.uint32)),
        of(count=jnp.asarray(2, jnp.int32)),
    ]
    seen += [of(**{"model/w": jnp.full((2, 3), 1.0)}), of(**{"model/w": jnp.full((3, 2), 1.0).at[2, 1].set(1.0000001)})]
    assert len(set(seen)) == len(seen)
    assert of({"b": 2, "a": 1}) == seen[0]
    assert digest(dict(reversed(arrays(1).items())), {"a": 1, "b": 2}) == seen[0]


def test_like_says_on_which_devices_and_refuses_what_does_not_fit(tmp_path):
    before = every_kind()
    save_all = Checkpoints(tmp_path)
    save_all.save(1, before, {})
    save_all.wait()
    mesh = Mesh(np.array(jax.devices()[:2]), ("data",))
    cut, whole = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
    where = {name: cut if name in ("keys", "cut", "a") else whole for name in before}
    like = {name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where[name]) for name, x in before.items()}
    saved = save_all.load(like=like)
    assert saved is not None
    assert all(x.sharding.is_equivalent_to(where[name], x.ndim) for name, x in saved.arrays.items())
    assert digest(saved.arrays, {}) == digest(before, {})
    one = save_all.load(like={name: jax.device_put(x, jax.devices()[1]) for name, x in before.items()})
    assert one is not None and all(x.devices() == {jax.devices()[1]} for x in one.arrays.values())
    wrong = {**before, "int8": jnp.zeros((), jnp.int32), "a": jnp.zeros(3), "new": jnp.zeros(())}
    del wrong["bool"]
    with pytest.raises(BadFile, match=r"missing new; unknown bool; a: float32\[2\], expected float32\[3\]; int8: int8\[\], exp"):
        save_all.load(like=wrong)


def test_a_save_keeps_what_was_given_whatever_the_caller_does_next(tmp_path):
    history, before = [1], {"model/w": jnp.full((200, 300), 2.0)}
    expected = digest(before, {"history": [1]})
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, before, {"history": history})
    history.append(2)
    jax.block_until_ready(jax.jit(lambda x: jax.tree.map(lambda a: a + 1, x), donate_argnums=0)(before))
    assert before["model/w"].is_deleted()  # JAX donates nothing that is still being looked at
    saved = checkpoints.load()
    assert saved is not None and digest(saved.arrays, saved.about) == expected
    with pytest.raises(TypeError, match="not JSON serializable"):
        checkpoints.save(2, arrays(2), {"loss": np.float32(1)})
    assert checkpoints.steps() == [1]


def test_a_write_that_fails_is_raised_by_the_next_call(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.write_text("a file where a folder should be")
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, arrays(1), {"at": 1})
    with pytest.raises(SensoriumError, match=r"checkpoints: a checkpoint could not be written: .*File exists"):
        checkpoints.wait()
    checkpoints.wait()  # it is said once
    folder.unlink()
    save(checkpoints, 1)
    assert check_whole(tmp_path) == 1


def test_each_thing_is_on_the_disk_before_what_vouches_for_it(tmp_path, monkeypatch):
    checkpoints, seen = Checkpoints(tmp_path), []
    folder = checkpoints.folder

    def recorded(path):
        there = (folder / "00000001").exists(), (folder / ".00000001.new" / sealed.MANIFEST).exists()
        seen.append((Path(path).relative_to(folder).as_posix(), *there))
        sync(path)

    for module in ("core.sealed", "checkpoints.shelf"):
        monkeypatch.setattr(f"sensorium.{module}.sync", recorded)
    save(checkpoints, 1)
    place, new = checkpoints.place(1), ".00000001.new"
    below = {path.relative_to(place).as_posix() for path in place.rglob("*")} - {sealed.MANIFEST}
    first, last = seen[1:-3], seen[-3:]  # the very first is the clearing
    assert {path for path, *_ in first} == {new, *(f"{new}/{name}" for name in below)}
    assert not any(named or manifest for _, named, manifest in first)
    assert last == [(f"{new}/{sealed.MANIFEST}", False, True), (new, False, True), (".", True, False)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Checkpoints:
    checkpoints = Checkpoints(tmp_path_factory.mktemp("whole"))
    save(checkpoints, 3)
    return checkpoints


def names(checkpoints: Checkpoints) -> list[str]:
    place = checkpoints.place(3)
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())


def test_every_flipped_bit_is_seen_and_its_file_is_named(whole):
    assert {STATE, sealed.MANIFEST, "arrays/_METADATA"} < set(names(whole)) and len(names(whole)) > 6
    flips = 0
    for name in names(whole):
        path = whole.place(3) / name
        good = path.read_bytes()
        manifest = name == sealed.MANIFEST  # the only file that no hash but its own guards
        for at in range(len(good)) if manifest or len(good) < 100 else np.linspace(0, len(good) - 1, 40, dtype=int):
            for bit in range(8) if manifest and good[at : at + 1] in b' \n"{}:,a9' else [int(at) % 8]:
                with path.open("r+b") as file:
                    file.seek(at)
                    file.write(bytes([good[at] ^ 1 << bit]))
                with pytest.raises(BadFile) as caught:
                    whole.verify(3)
                assert str(caught.value).startswith(f"{path}: "), (name, at, bit, caught.value)
                flips += 1
        path.write_bytes(good)
    assert flips > 1000
    whole.verify(3)


def test_files_that_are_cut_or_longer_or_missing_or_too_many_are_seen_before_any_is_read(whole, monkeypatch):
    place = whole.place(3)
    monkeypatch.setattr(sealed, "sha256", lambda path: pytest.fail(f"{path} was read"))
    for name in names(whole):
        path = place / name
        good = path.read_bytes()
        for bad in (b"", good[: len(good) // 2], good[:-1], good + b"\0"):
            path.write_bytes(bad)
            with pytest.raises(BadFile) as caught:
                whole.verify(3)
            assert str(caught.value).startswith(f"{path}: ")
        path.unlink()
        with pytest.raises(BadFile, match=f"{name}: no such file"):
            whole.verify(3)
        path.symlink_to("/dev/zero")
        with pytest.raises(BadFile):
            whole.verify(3)
        path.unlink()
        path.write_bytes(good)
    extra = place / "arrays" / "d" / "extra"
    extra.write_bytes(b"x")
    with pytest.raises(BadFile, match=r"extra: the manifest does not list this file"):
        whole.verify(3)
    extra.unlink()


def flip(path: Path) -> None:
    good = path.read_bytes()
    path.write_bytes(good[:-2] + bytes([good[-2] ^ 1]) + good[-1:])


def test_a_broken_one_is_named_and_the_one_before_is_used(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=3)
    assert checkpoints.load() is None and checkpoints.load(5) is None
    for step in (10, 20, 30):
        save(checkpoints, step, best=step == 20)
    flip(checkpoints.place(30) / STATE)
    (checkpoints.place(20) / sealed.MANIFEST).write_text("{}")
    saved = checkpoints.load()
    assert saved is not None and saved.step == 10 and check_whole(tmp_path) == 10
    assert len(saved.told) == 2 and "00000030/state.json: its SHA-256 is" in saved.told[0]
    assert "00000020/manifest.json: not as it was written" in saved.told[1] and "step 20 is not used" in saved.told[1]
    with pytest.raises(BadFile, match=r"00000030/state\.json"):  # who names one does not get another
        checkpoints.load(30)
    assert checkpoints.load(40) is None
    checkpoints.place(10).rename(checkpoints.place(40))
    with pytest.raises(BadFile, match=r"00000040: this is the checkpoint of step 10: its folder was renamed"):
        checkpoints.load(40)
    checkpoints.place(40).rename(checkpoints.place(10))
    flip(checkpoints.place(10) / STATE)
    with pytest.raises(BadFile, match=r"no checkpoint is whole: .*00000030.*00000020.*00000010.*begin anew"):
        checkpoints.load()


def test_arrays_that_come_back_otherwise_than_they_went_in_are_refused(whole, monkeypatch):
    monkeypatch.setattr(
        "sensorium.checkpoints.checkpoint.read", lambda *given: {n: x + jnp.ones((), x.dtype) for n, x in read(*given).items()}
    )
    with pytest.raises(BadFile, match="the files are whole, but the arrays read from them are not those that were saved"):
        whole.load()


def test_the_last_ones_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    seen = []
    for step in range(1, 8):
        save(checkpoints, step, best=step in (2, 5))
        seen.append((checkpoints.steps(), checkpoints.best()))
    assert seen[:4] == [([1], None), ([1, 2], 2), ([2, 3], 2), ([2, 3, 4], 2)]
    assert seen[4:] == [([4, 5], 5), ([5, 6], 5), ([5, 6, 7], 5)]
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["00000005", "00000006", "00000007"]
    save(checkpoints, 7, best=True)  # the same step again takes its place
    assert (checkpoints.steps(), checkpoints.best()) == ([6, 7], 7)
    save(Checkpoints(tmp_path, keep=1), 6)  # a run that went back has left the future that it had
    assert checkpoints.steps() == [6] and check_whole(tmp_path) == 6
    with pytest.raises(ValueError, match="keep=0"):
        Checkpoints(tmp_path, keep=0)


class Killed(BaseException):
    """Stands for kill -9: from some moment on, nothing more is done to the disk."""


def kill_at(monkeypatch, moment: int, copy) -> list[str]:
    """From the `moment`-th change of the disk on every one raises `Killed`; a deletion is killed half way. Gives the log."""
    done: list[str] = []

    def counted(name, change, half=None):
        def call(*given, **named):
            if len(done) >= moment:
                if len(done) == moment and half:
                    half(*given)
                done.append("killed")
                raise Killed
            done.append(name)
            return change(*given, **named)

        return call

    def half(folder, **_):
        for path in sorted(Path(folder).rglob("*.json"))[:1]:  # manifest.json
            path.unlink()

    for name, change in (("checkpoint.write", copy), ("checkpoint.finish", lambda folder: None), ("shelf.seal", seal)):
        monkeypatch.setattr(f"sensorium.checkpoints.{name}", counted(name, change))
    monkeypatch.setattr(shutil, "rmtree", counted("rmtree", shutil.rmtree, half))
    monkeypatch.setattr(Path, "rename", counted("rename", Path.rename))
    return done


@pytest.mark.parametrize("again", [False, True], ids=["a-new-step", "the-same-step"])
def test_a_kill_between_any_two_changes_of_the_disk_leaves_a_whole_checkpoint(tmp_path, monkeypatch, again):
    start = tmp_path / "start"
    save(Checkpoints(start, keep=1), 1)
    made = Checkpoints(start).place(1) / "arrays"

    def copy(folder, held):  # Orbax is not what is tested here, and takes long
        shutil.copytree(made, folder, dirs_exist_ok=True)

    killed, moment, ends = True, 0, set()
    while killed:
        run = tmp_path / str(moment)
        shutil.copytree(start, run)
        for one in (moment, moment // 2):  # twice in a row
            with monkeypatch.context() as patch:
                done = kill_at(patch, one, copy)
                try:
                    save(Checkpoints(run, keep=1), 1 if again else 2)
                except Killed:
                    assert "killed" in done
            found = Checkpoints(run)._newest(None)[0]
            assert found in ({1} if again else {1, 2}), (moment, done)
            ends.add(found)
            killed = "killed" in done if one == moment else killed
        save(Checkpoints(run, keep=1), 3)
        assert [path.name for path in (run / "checkpoints").iterdir()] == ["00000003"], "leftovers stay"
        moment += 1
    assert moment > 6 and ends == ({1} if again else {1, 2})
