"""What the doctor says of files that could not be used, by their cause."""

import pytest

from sensorium.data.listing import Problem
from sensorium.doctor.names import broken


@pytest.mark.parametrize(
    "cause, kind",
    [
        ("not UTF-8 (byte 0xfc at 3); perhaps it is Latin-1: save it as UTF-8", "not UTF-8"),
        ("the file is empty (0 bytes)", "empty file"),
        ("no caption in it, only blank lines", "empty caption"),
        ("a NUL (character 3) in it: not a text file, or a damaged one", "NUL in text"),
        ("cannot be decoded", "unreadable"),
        ("absent, though line 3 of m.csv names it", "absent file"),
    ],
)
def test_what_lies_inside_a_tar_goes_by_its_cause(tmp_path, cause, kind):
    [finding] = broken([Problem(str(tmp_path / "s.tar" / "a.txt"), "text", cause)])
    assert finding.kind == kind
