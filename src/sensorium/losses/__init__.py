"""Losses: a value a row and which rows count. Frozen dataclasses read outputs by name; functions take the arrays themselves."""

from sensorium.losses.infonce import InfoNCE as InfoNCE
from sensorium.losses.next_token import next_token as next_token
from sensorium.losses.reduce import mean as mean
from sensorium.losses.reduce import total as total
from sensorium.losses.sigmoid import Sigmoid as Sigmoid
