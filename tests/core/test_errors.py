"""Errors name what is near, and the command that helps."""

import pytest

from sensorium.core.errors import BadFile, MissingExtra, SensoriumError, UnknownName, nearest, need


def test_nearest_suggests_a_typo_and_lists_all():
    assert nearest("serch", ["train", "search"]) == " Did you mean 'search'? Known: search, train."
    assert nearest("zzz", ["train"]) == " Known: train."
    assert nearest("zzz", []) == " Known: none."


def test_need_gives_the_module_or_the_command_that_installs_it():
    assert need("json", "media", "reading sound").loads("1") == 1
    with pytest.raises(MissingExtra, match=r'reading sound needs no_such_module .*pip install "sensorium\[media\]"'):
        need("no_such_module.part", "media", "reading sound")


@pytest.mark.parametrize(("kind", "builtin"), [(UnknownName, KeyError), (MissingExtra, ImportError), (BadFile, Exception)])
def test_every_error_is_caught_as_ours_and_as_its_builtin_and_prints_its_text_bare(kind, builtin):
    error = kind("what was got")
    assert isinstance(error, SensoriumError) and isinstance(error, builtin)
    assert str(error) == "what was got"
