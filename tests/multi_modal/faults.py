"""The faults of the sample code in the documents that Sensorium grew from, each as a probe, and Sensorium as what is probed.

`benchmarks/sample_code.py` puts the same probes to the sample code.
"""

from functools import partial
from importlib import import_module
from types import SimpleNamespace

import jax
from multi_modal import faults_data, faults_encoders, faults_fusion, faults_generators
from multi_modal.probe import PROBES as PROBES

PARTS = faults_data, faults_fusion, faults_generators, faults_encoders  # importing them fills PROBES
MODULES = "datasets", "fusion", "generators", "encoders", "losses", "retrieval"


def ours() -> SimpleNamespace:
    """The names of `sensorium.multi_modal`, some of them with small sizes where the probes give none."""
    names: dict = {}
    for module in MODULES:
        names |= vars(import_module(f"sensorium.multi_modal.{module}"))
    api = SimpleNamespace(**{name: value for name, value in names.items() if not name.startswith("_")})
    api.early_fusion = jax.jit(api.early_fusion)  # op by op it would be compiled op by op
    api.ImageEncoder = partial(api.ImageEncoder, image_size=64, backbone="convnet", width=16)
    api.CLIPModel = partial(_clip, api, api.CLIPModel)
    api.AudioEncoder = partial(api.AudioEncoder, width=16, depth=1)
    api.VideoEncoder = partial(api.VideoEncoder, size=32, width=16)
    api.VideoEncoderAsRead = api.VideoEncoder  # there is one layout here
    api.CompletedSimpleModel = api.SimpleMultimodalModel  # and nothing to complete
    return api


def _clip(api, build, embed_dim: int, temperature: float | None = None, *, rngs):
    images = api.ImageEncoder(embed_dim, rngs=rngs)
    text = api.TextEncoder(20, embed_dim, rngs=rngs, num_layers=1)
    return build(embed_dim, temperature, rngs=rngs, image_encoder=images, text_encoder=text)
