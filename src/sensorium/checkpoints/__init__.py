"""Checkpoints of a run that can be trusted: whole or absent, checked byte by byte, written by one process at a time."""

from sensorium.checkpoints.checkpoint import Checkpoints as Checkpoints
from sensorium.checkpoints.checkpoint import Saved as Saved
from sensorium.checkpoints.lock import RunLock as RunLock
