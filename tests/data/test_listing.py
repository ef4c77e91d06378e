import pytest
from data.trees import write
from hypothesis import given
from hypothesis import strategies as st

from sensorium.core.errors import BadFile
from sensorium.data.listing import Problem, captions_of, problem


@pytest.mark.parametrize(
    "content, captions",
    [
        ("a cat\n", ("a cat",)),
        ("\ufeffa cat\r\n\r\n  two cats \r\n\n", ("a cat", "two cats")),
        ("a 🐈 and a 🐕\rmac lines", ("a 🐈 and a 🐕", "mac lines")),
        ("one\u2028line", ("one\u2028line",)),
    ],
)
def test_a_caption_a_line(tmp_path, content, captions):
    assert captions_of(write(tmp_path / "x.txt", content)) == captions


@pytest.mark.parametrize(
    "content, cause",
    [
        ("ein Müsli".encode("latin-1"), "not UTF-8 (byte 0xfc at 5); perhaps it is Latin-1"),
        (b"", "the file is empty"),
        (b" \n\n\t", "only blank lines"),
        (b"x" * 2**21, "more than the limit"),
    ],
)
def test_what_is_no_caption_file_is_told(tmp_path, content, cause):
    path = write(tmp_path / "x.txt", content)
    with pytest.raises(BadFile) as caught:
        captions_of(path)
    assert str(caught.value).startswith(f"{path}: ") and cause in str(caught.value)
    made = problem(caught.value, path, "text")
    assert (made.path, made.kind) == (str(path), "text") and cause in made.cause and str(path) not in made.cause
    assert str(made) == str(caught.value)


def test_an_absent_file_is_told(tmp_path):
    with pytest.raises(BadFile, match="No such file"):
        captions_of(tmp_path / "x.txt")


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_problem_reads_as_its_path_and_cause(path, cause):
    assert problem(BadFile(f"{path}: {cause}"), path, "image") == Problem(path, "image", cause)
