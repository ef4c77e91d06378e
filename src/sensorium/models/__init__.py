"""Models: one contract, (batch, key) -> Outputs, made of encoders."""

from sensorium.core.table import Table
from sensorium.models.any_to_any import AnyToAny as AnyToAny
from sensorium.models.generator import Generator as Generator
from sensorium.models.joint_vae import JointVAE as JointVAE
from sensorium.models.maker import Maker as Maker
from sensorium.models.picture_vae import PictureVAE as PictureVAE
from sensorium.models.space import Space as Space

Model = Space | Generator | Maker | AnyToAny | JointVAE | PictureVAE
MODELS: Table[type[Space] | type[Generator] | type[Maker] | type[AnyToAny] | type[JointVAE] | type[PictureVAE]] = Table(
    "model",
    {
        "space": Space,
        "generator": Generator,
        "maker": Maker,
        "any_to_any": AnyToAny,
        "joint_vae": JointVAE,
        "picture_vae": PictureVAE,
    },
)
