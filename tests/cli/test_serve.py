"""The verb as a person calls it, on a real port."""

import json
import threading
import time
import urllib.error
import urllib.request

import pytest
from serve.served import Reading, made

import sensorium
from sensorium.cli import main as entry
from sensorium.serve import listening
from sensorium.serve.listening import link


@pytest.fixture
def place(tmp_path, monkeypatch):
    made(tmp_path)
    monkeypatch.setattr(sensorium, "load", lambda path: Reading(), raising=False)
    return tmp_path


def test_it_listens_says_where_and_answers(place, monkeypatch):
    import uvicorn

    runners, told, codes = [], [], []
    monkeypatch.setattr(uvicorn.Server, "__init__", _noted(uvicorn.Server.__init__, runners))
    monkeypatch.setattr(listening, "link", lambda *where: told.append(link(*where)) or told[-1])
    arguments = ["serve", str(place), "--collection", str(place / "c"), "--port", "0", "--token", "secret"]
    thread = threading.Thread(target=lambda: codes.append(entry.main(arguments)), daemon=True)
    thread.start()
    try:
        while not (runners and runners[0].started):
            assert thread.is_alive(), codes
            time.sleep(0.05)
        (address,) = told
        assert address.startswith("http://127.0.0.1:") and address.endswith("/?token=secret")
        here = address.partition("/?")[0]
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{here}/about", timeout=60)
        with error.value as answer:
            assert answer.code == 401 and "token" in json.load(answer)["error"]
        asked = urllib.request.Request(
            f"{here}/search",
            json.dumps({"text": "blue", "k": 1}).encode(),
            {"content-type": "application/json", "authorization": "Bearer secret"},
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert json.load(answer)["hits"][0]["id"] == "blue"
    finally:
        for runner in runners:
            runner.should_exit = True
        thread.join(timeout=60)
    assert codes == [0]


def _noted(init, runners):
    def noted(self, *arguments, **more):
        init(self, *arguments, **more)
        runners.append(self)

    return noted


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--token", "a;b"], "the token: expected letters"),
        (["--port", "70000"], "cannot listen at 127.0.0.1:70000"),
        (["--host", "no such host"], "cannot listen at"),
        (["--upload", "0"], "expected numbers above 0"),
    ],
)
def test_what_cannot_be_served_is_said(place, capsys, more, text):
    assert entry.main(["serve", str(place), "--collection", str(place / "c"), *more]) == 1
    assert text in capsys.readouterr().err


def test_who_opens_the_link_gets_the_token():
    assert link("127.0.0.1", 80, "") == "http://127.0.0.1:80/"
    assert link("0.0.0.0", 80, "a~b") == "http://localhost:80/?token=a~b" and link("::1", 80, "") == "http://[::1]:80/"
