"""Checkpoints of others, without PyTorch: recognised, read strictly into our models, and written back in their own layout."""

from sensorium.pretrained.family import FAMILIES as FAMILIES
from sensorium.pretrained.folder import Loaded as Loaded
from sensorium.pretrained.folder import open_folder as open_folder
from sensorium.pretrained.folder import published as published
from sensorium.pretrained.folder import write_folder as write_folder
