"""Models: one contract, (batch, key) -> Outputs, made of encoders."""

from sensorium.models.space import Space as Space
