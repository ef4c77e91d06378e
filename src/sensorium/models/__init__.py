"""Models: one contract, (batch, key) -> Outputs, made of encoders."""

from sensorium.core.table import Table
from sensorium.models.generator import Generator as Generator
from sensorium.models.space import Space as Space

Model = Space | Generator
MODELS: Table[type[Space] | type[Generator]] = Table("model", {"space": Space, "generator": Generator})
