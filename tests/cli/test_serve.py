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
from sensorium.serve.listening import link


@pytest.fixture
def place(tmp_path, monkeypatch):
    made(tmp_path)
    monkeypatch.setattr(sensorium, "load", lambda path: Reading(), raising=False)
    return tmp_path


def test_it_listens_says_where_and_answers(place, monkeypatch, capfd):
    import uvicorn

    runners = []
    monkeypatch.setattr(uvicorn.Server, "__init__", _noted(uvicorn.Server.__init__, runners))
    arguments = ["serve", str(place), "--collection", str(place / "c"), "--port", "0", "--token", "secret"]
    codes = []
    thread = threading.Thread(target=lambda: codes.append(entry.main(arguments)), daemon=True)
    thread.start()
    try:
        address = _address(capfd)
        assert address.startswith("http://127.0.0.1:") and address.endswith("/?token=secret")
        port = address.split(":")[2].partition("/")[0]
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/about", timeout=30)
        assert error.value.code == 401 and "token" in json.load(error.value)["error"]
        error.value.close()
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/search",
            json.dumps({"text": "blue", "k": 1}).encode(),
            {"content-type": "application/json", "authorization": "Bearer secret"},
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert json.load(answer)["hits"][0]["id"] == "blue"
    finally:
        for runner in runners:
            runner.should_exit = True
        thread.join(timeout=30)
    assert codes == [0] and "requests were answered" in capfd.readouterr().out


def _noted(init, runners):
    def noted(self, *arguments, **more):
        init(self, *arguments, **more)
        runners.append(self)

    return noted


def _address(capfd) -> str:
    told = ""
    for _ in range(3000):
        told += capfd.readouterr().err
        if " items at " in told and "\n" in told.partition(" items at ")[2]:
            return told.partition(" items at ")[2].splitlines()[0]
        time.sleep(0.1)
    raise AssertionError(told)


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
