"""Sensorium: learning across senses in JAX. One shared space for pictures, text and sound.

    import sensorium
    run = sensorium.train(sensorium.recipes.senses(steps=500), out="runs/a")
    s = sensorium.load("runs/a")
    z = s.encode(text=["a red circle"], image=["x.png"])
    s.similarity(z["text"], z["image"])

The names below are imported when they are first used: `import sensorium` touches no device and no heavy library.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensorium import data as data
    from sensorium import modalities as modalities
    from sensorium import recipes as recipes
    from sensorium import search as search
    from sensorium import show as show
    from sensorium.core.trainer import Trainer as Trainer
    from sensorium.decoders import Drawing as Drawing
    from sensorium.decoders import Sampling as Sampling
    from sensorium.joining import join as join
    from sensorium.modalities.kept import provenance as provenance
    from sensorium.models.mix import Mix as Mix
    from sensorium.models.mix import between as between
    from sensorium.probing import probe as probe
    from sensorium.run import Run as Run
    from sensorium.run import evaluate as evaluate
    from sensorium.run import train as train
    from sensorium.sensorium import Sensorium as Sensorium
    from sensorium.sensorium import load as load

__version__ = "0.1.0"

_HOMES = {"train": "run", "evaluate": "run", "Run": "run", "load": "sensorium", "Sensorium": "sensorium"}
_HOMES |= {"Trainer": "core.trainer", "probe": "probing", "join": "joining", "Drawing": "decoders", "Sampling": "decoders"}
_HOMES |= {"Mix": "models.mix", "between": "models.mix", "provenance": "modalities.kept"}
_ROOMS = ("data", "modalities", "recipes", "search", "show")
__all__ = [
    "Drawing",
    "Mix",
    "Run",
    "Sampling",
    "Sensorium",
    "Trainer",
    "between",
    "data",
    "evaluate",
    "join",
    "load",
    "modalities",
    "probe",
    "provenance",
    "recipes",
    "search",
    "show",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"sensorium.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"sensorium.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'sensorium' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
