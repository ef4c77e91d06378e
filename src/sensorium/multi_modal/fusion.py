"""The guide's fusions: arrays or embeddings of several modalities -> one vector a sample, whatever is missing."""

from sensorium.multi_modal.fuse_attention import EarlyFusion as EarlyFusion
from sensorium.multi_modal.fuse_attention import HierarchicalFusion as HierarchicalFusion
from sensorium.multi_modal.fuse_attention import MultiModalAttentionFusion as MultiModalAttentionFusion
from sensorium.multi_modal.fuse_attention import MultiModalFusion as MultiModalFusion
from sensorium.multi_modal.fuse_dropout import ModalityDropout as ModalityDropout
from sensorium.multi_modal.fuse_latents import PerceiverAttention as PerceiverAttention
from sensorium.multi_modal.fuse_plain import early_fusion as early_fusion
from sensorium.multi_modal.fuse_plain import late_fusion as late_fusion
from sensorium.multi_modal.fuse_vectors import GatedFusion as GatedFusion
from sensorium.multi_modal.fuse_vectors import MultiModalProjector as MultiModalProjector
