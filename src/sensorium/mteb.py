"""A model as mteb measures it: `mteb.evaluate(sensorium.mteb.Encoder("runs/photos"), tasks)`, on texts, pictures and sounds.

mteb (Muennighoff et al. 2023; Xiao et al. 2025 for pictures) is no part of Sensorium and brings PyTorch: pip install
"sensorium[mteb]".
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import SensoriumError, need
from sensorium.core.protocols import Raw
from sensorium.models import Space, given
from sensorium.sensorium import Sensorium, load

KINDS = ("text", "image", "audio")
"""The columns of a batch of mteb's that are read. Its clips come as decoders of torchcodec, which are not."""


class Encoder:
    """mteb's `EncoderProtocol`: batches of raw things in, unit vectors out, compared by their cosines.

    `model`: a `Sensorium`, or what `sensorium.load` takes; `name`: what mteb calls it in its results, "organisation/model".
    `device` is not looked at: jax knows where it computes.
    """

    def __init__(
        self, model: Sensorium | Path | str, revision: str | None = None, *, device: str | None = None, name: str = "", **_: Any
    ):
        place = "model" if isinstance(model, Sensorium) else str(model)
        self.model = model if isinstance(model, Sensorium) else load(model, revision)
        self.name = name or ("/".join(Path(place).parts[-2:]) if "/" in place.strip("/") else f"sensorium/{Path(place).name}")
        self._fields = {field.kind: field.name for field in reversed(self.model.fields)}

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any = None,
        hf_split: str = "",
        hf_subset: str = "",
        prompt_type: Any = None,
        **_: Any,
    ) -> Float[np.ndarray, "N D"]:
        """Unit vectors of all batches, in order; of a thing of several kinds (a picture with its text) the direction of the sum
        of theirs. `SensoriumError` where a batch holds a kind that the model does not read, and not half an answer."""
        return np.concatenate([self._batch(batch) for batch in inputs])

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Float[np.ndarray, "..."]:
        """Cosines [N M] of every row of one with every row of the other; one vector is one row, and of two there is one number,
        without axes."""
        found = given.cosines(_rows(embeddings1), _rows(embeddings2))
        return np.asarray(found[0, 0]) if np.ndim(embeddings1) == np.ndim(embeddings2) == 1 else found

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Float[np.ndarray, " N"]:
        """The cosine of each row with the other's row of the same place."""
        return (_rows(embeddings1) * _rows(embeddings2)).sum(1)

    @property
    def about(self) -> dict[str, Any]:
        """What mteb is told of the model. The revision is its fingerprint, so that results of other weights are not taken for
        its own."""
        unknown = ("release_date", "languages", "max_tokens", "license", "public_training_code", "public_training_data")
        model, size = self.model.model, sum(int(x.size) for x in self.model.parameters())
        told = {"loader": None, "name": self.name, "revision": self.model.fingerprint, "n_parameters": size}
        told |= {
            "memory_usage_mb": None,
            "embed_dim": model.width if isinstance(model, Space) else None,
            "open_weights": None,
            "framework": ["JAX"],
        }
        told |= {"similarity_fn_name": "cosine", "use_instructions": False, "training_datasets": None}
        return told | dict.fromkeys(unknown) | {"modalities": [kind for kind in KINDS if kind in self._fields]}

    @cached_property
    def mteb_model_meta(self) -> Any:
        """`about` as mteb's `ModelMeta`."""
        return need("mteb.models.model_meta", "mteb", "a model for mteb").ModelMeta(**self.about)

    def _batch(self, batch: Mapping[str, Any]) -> Float[np.ndarray, "B D"]:
        kinds = [kind for kind in (*KINDS, "video") if kind in batch]
        if not kinds or (other := [kind for kind in kinds if kind not in self._fields or kind not in KINDS]):
            wrong = f"holds {', '.join(other)}" if kinds else f"holds none of {', '.join(KINDS)}, but {', '.join(batch)}"
            read = ", ".join(kind for kind in KINDS if kind in self._fields)
            raise SensoriumError(f"a batch of mteb's {wrong}; this model reads {read} of it")
        units = self.model.encode(**{self._fields[kind]: [_raw(kind, one) for one in batch[kind]] for kind in kinds})
        total = np.sum(list(units.values()), axis=0)
        return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def _raw(kind: str, one: Any) -> Raw:
    """A thing as our fields take it: sounds come as `array` (mono, or channels first) and `sampling_rate`."""
    if kind != "audio":
        return one
    array = np.asarray(one["array"], np.float32)
    return (array.T if array.ndim == 2 else array, int(one["sampling_rate"]))


def _rows(vectors: Any) -> Float[np.ndarray, "N D"]:
    """As f32 rows: mteb gives NumPy arrays or tensors, of one vector or of many."""
    return np.atleast_2d(np.asarray(vectors, np.float32))
