"""Recipes: a function is an experiment, its keyword arguments are the dials."""

from collections.abc import Callable

from sensorium.core.table import Table
from sensorium.recipes.anything import anything as anything
from sensorium.recipes.captions import captions as captions
from sensorium.recipes.clips import clips as clips
from sensorium.recipes.folder import folder as folder
from sensorium.recipes.joint import joint as joint
from sensorium.recipes.latent import latent as latent
from sensorium.recipes.pictures import pictures as pictures
from sensorium.recipes.questions import questions as questions
from sensorium.recipes.senses import senses as senses
from sensorium.recipes.sounds import sounds as sounds
from sensorium.recipes.start import begun as begun
from sensorium.training import Experiment

WORLDLY: Table[Callable[..., Experiment]] = Table(
    "recipe of the built-in world",
    {recipe.__name__: recipe for recipe in (senses, captions, questions, pictures, sounds, clips, anything, latent, joint)},
)
"""Recipes that need no data of a user's."""
RECIPES: Table[Callable[..., Experiment]] = Table("recipe", {**WORLDLY, "folder": folder})
