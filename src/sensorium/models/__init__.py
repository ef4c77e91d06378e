"""Models: one contract, (batch, key) -> Outputs, made of encoders."""

from sensorium.core.table import Table
from sensorium.models.generator import Generator as Generator
from sensorium.models.joint_vae import JointVAE as JointVAE
from sensorium.models.space import Space as Space

Model = Space | Generator | JointVAE
MODELS: Table[type[Space] | type[Generator] | type[JointVAE]] = Table(
    "model", {"space": Space, "generator": Generator, "joint_vae": JointVAE}
)
