"""Fusions: the encodings of several fields -> one encoding. Rows never mix, and an absent field is as if it were not there."""

from sensorium.core.table import Table
from sensorium.fusions.asking import Asking as Asking
from sensorium.fusions.attention import JointAttention as JointAttention
from sensorium.fusions.concat import Concat as Concat
from sensorium.fusions.cross_attention import CoAttention as CoAttention
from sensorium.fusions.fusion import Fusion as Fusion
from sensorium.fusions.gated import Gated as Gated
from sensorium.fusions.hierarchical import Hierarchical as Hierarchical
from sensorium.fusions.mean import Mean as Mean
from sensorium.fusions.modality_dropout import surviving as surviving
from sensorium.fusions.projector import Projector as Projector
from sensorium.fusions.resampler import Resampler as Resampler

FUSIONS = Table(
    "fusion",
    {
        "concat": Concat,
        "mean": Mean,
        "gated": Gated,
        "projector": Projector,
        "attention": JointAttention,
        "cross_attention": CoAttention,
        "resampler": Resampler,
        "asking": Asking,
        "hierarchical": Hierarchical,
    },
)
