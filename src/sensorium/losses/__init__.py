"""Losses: frozen dataclasses that read outputs by name and return a value a row and which rows count."""

from sensorium.losses.infonce import InfoNCE as InfoNCE
from sensorium.losses.reduce import total as total
