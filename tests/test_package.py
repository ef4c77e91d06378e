"""The package: light to import, and everything that it names is there."""

import subprocess
import sys

import sensorium

HEAVY = ("jax", "flax", "numpy", "PIL", "soundfile", "soxr", "matplotlib", "tokenizers", "grain", "optax", "safetensors")


def test_importing_touches_nothing_heavy():
    code = f"import sys, sensorium, sensorium.cli.main; print([name for name in {HEAVY} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == "[]"


def test_the_public_words_are_listed_and_resolve():
    assert set(sensorium.__all__) <= set(dir(sensorium))
    for name in sensorium.__all__:
        assert getattr(sensorium, name) is not None
    assert callable(sensorium.train) and callable(sensorium.load) and callable(sensorium.evaluate)
    assert sensorium.recipes.senses.__name__ == "senses" and sensorium.data.check.__name__ == "check"


def test_the_function_train_is_a_function_whatever_was_imported():
    import sensorium.recipes
    from sensorium.training.loop import fit

    assert sensorium.train.__module__ == "sensorium.run" and fit.__module__ == "sensorium.training.loop"


def test_another_word_is_an_error():
    try:
        sensorium.trian  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
    except AttributeError as error:
        assert "no attribute 'trian'" in str(error)
    else:
        raise AssertionError("an AttributeError was expected")


def test_the_version_is_that_of_the_installed_package():
    from importlib.metadata import version

    assert sensorium.__version__ == version("sensorium")
