"""Recipes: a function is an experiment, its keyword arguments are the dials."""

from sensorium.core.table import Table
from sensorium.recipes.folder import folder as folder
from sensorium.recipes.senses import senses as senses
from sensorium.recipes.start import begun as begun

RECIPES = Table("recipe", {"senses": senses, "folder": folder})
