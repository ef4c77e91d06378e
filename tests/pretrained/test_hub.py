"""Ids of the Hub: from the cache, at a revision, with a licence; and what is said of those that are not to be had."""

import json
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants as constants
import pytest
from pretrained.test_families import RECORDED

import sensorium
from sensorium.core.errors import BadFile, SensoriumError
from sensorium.pretrained.licence import Licence, NonCommercial, stated

OLD, NEW = "0" * 39 + "1", "0" * 39 + "2"


def kept(cache: Path, repository: str, commits: dict[str, Path], refs: dict[str, str]) -> None:
    """A repository as huggingface_hub keeps it: `commits[hash]` is what it holds, `refs[name]` the hash of a branch or tag."""
    root = cache / f"models--{repository.replace('/', '--')}"
    for commit, source in commits.items():
        shutil.copytree(source, root / "snapshots" / commit)
    (root / "refs").mkdir(parents=True)
    for name, commit in refs.items():
        (root / "refs" / name).write_text(commit)


@pytest.fixture
def cache(tmp_path) -> Path:
    home = tmp_path / "home" / "hub"
    kept(home, "org/seeing", {OLD: RECORDED / "vit", NEW: RECORDED / "clip"}, {"main": NEW, "v1": OLD})
    pickled = tmp_path / "pickled"
    shutil.copytree(RECORDED / "vit", pickled, ignore=shutil.ignore_patterns("*.safetensors", "*.npz"))
    kept(home, "org/pickled", {OLD: pickled}, {"main": OLD})
    return home


LOADING = """
import json, sys, sensorium
from sensorium.core.errors import SensoriumError
for revision in (None, "v1", sys.argv[1]):
    print(sensorium.Sensorium.from_pretrained("org/seeing", revision=revision).family)
for name, revision in (("org/seeing", "v2"), ("org/nothing", None), ("org/pickled", None)):
    try:
        sensorium.load(name, revision)
    except SensoriumError as error:
        print(error)
"""


def test_ids_in_the_cache_are_loaded_offline_at_every_revision(cache, user_env):
    """By the variables of Hugging Face, which are read when its library is imported: so in a process of its own."""
    env = {key: x for key, x in user_env.items() if not key.startswith("HF_")} | {
        "HF_HOME": str(cache.parent),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run([sys.executable, "-c", LOADING, OLD], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    newest, tagged, hashed, absent, unknown, pickled = done.stdout.splitlines()
    assert (newest, tagged, hashed) == ("clip", "vit", "vit")
    assert absent.startswith(
        f"org/seeing: no directory here, and not whole in the cache of Hugging Face ({cache}) at the revision v2"
    )
    assert "HF_HUB_OFFLINE forbids" in unknown and "hf download org/nothing --include '*.json'" in unknown
    assert "neither model.safetensors nor" in pickled and "refs/pr/1" in pickled


class Hub(BaseHTTPRequestHandler):
    """Says of every repository what its name asks for."""

    def do_GET(self) -> None:
        code = {"gated": "GatedRepo", "revision": "RevisionNotFound"}.get(self.path.split("/")[4], "RepoNotFound")
        self.send_response(404 if code == "RevisionNotFound" else 401)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("org/gated", "org/gated: its authors ask who you are .*hf auth login"),
        ("org/typo", "no such repository, or it is private .*hf auth login"),
        ("org/revision", "the repository has no revision 'v9' "),
    ],
)
def test_what_the_hub_refuses_is_told_with_the_way_out(name, told, hub):
    with pytest.raises(BadFile, match=told):
        sensorium.load(name, "v9", token="hf_x")


def test_a_directory_has_no_revisions():
    with pytest.raises(BadFile, match="leave out revision='v1'"):
        sensorium.load(RECORDED / "vit", "v1")


@pytest.mark.parametrize(
    ("front", "licence", "commercial"),
    [
        ("---\nlicense: mit\n---\n# X", Licence("mit"), True),
        ('---\ntags:\n- a\nlicense: "cc-by-nc-4.0"  # really\n---\n', Licence("cc-by-nc-4.0"), False),
        ("---\r\nlicense:\r\n- cc-by-nc-sa-4.0\r\n- mit\r\n---\r\n", Licence("cc-by-nc-sa-4.0"), False),
        ("---\nlicense: other\nlicense_name: my-research-only\nlicense_link: LICENSE\n---", None, False),
        ("---\nlicense: other\nlicense_name: tongyi\n---", Licence("other", "tongyi"), True),
        ("# license: mit", Licence(), True),
        ("---\nlanguage: en\n---\nlicense: cc-by-nc-4.0\n", Licence(), True),
    ],
)
def test_a_licence_is_what_the_front_of_the_card_says(front, licence, commercial, tmp_path):
    (tmp_path / "README.md").write_text(front, newline="")
    found = stated(tmp_path / "README.md")
    assert found == (licence or Licence("other", "my-research-only", "LICENSE")) and found.commercial is commercial


def test_a_licence_that_forbids_commercial_use_is_told_on_loading(tmp_path, capsys):
    from sensorium.cli.main import main

    folder = tmp_path / "m"
    shutil.copytree(RECORDED / "vit_labels", folder)
    sensorium.load(folder)  # nothing is said, so nothing is warned of: warnings are errors here
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    with pytest.warns(NonCommercial, match=r"its licence is cc-by-nc-4\.0: not for commercial use"):
        sensorium.load(folder)
    assert issubclass(NonCommercial, UserWarning) and not issubclass(NonCommercial, SensoriumError)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["models", str(folder), "--json"]) == 0
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert (said["licence"], said["commercial"]) == ("cc-by-nc-4.0", False)
    assert f"note: {folder}: its licence is cc-by-nc-4.0: not for commercial use\n" in err
