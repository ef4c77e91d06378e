"""Models: one contract, (batch, key) -> Outputs, made of encoders."""

from sensorium.core.table import Table
from sensorium.models.space import Space as Space

MODELS = Table("model", {"space": Space})
