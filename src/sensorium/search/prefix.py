"""The first numbers of each vector alone: less to keep and to compare, by models that put what matters most in front
(`losses.Matryoshka`; Kusupati et al. 2022)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Modality, Raw
from sensorium.search.embed import Model


@dataclass(frozen=True)
class Prefix:
    """A model whose vectors are the first `dims` numbers of another's, made unit vectors again. It is another model to a
    collection: the fingerprint says so."""

    model: Model
    dims: int

    @property
    def fields(self) -> tuple[Modality, ...]:
        return self.model.fields

    @property
    def fingerprint(self) -> str:
        return f"{self.model.fingerprint}-first{self.dims}"

    def encode(self, **raws: Raw) -> dict[str, Float[np.ndarray, "N D"]]:
        """As the model's. `SensoriumError` where its vectors are not longer than `dims`."""
        return {name: self.first(z) for name, z in self.model.encode(**raws).items()}

    def kept(self, name: str, z: Float[np.ndarray, "N W"]) -> Float[np.ndarray, "N D"]:
        """What the collection has of a field's vectors as the model makes them."""
        return self.first(z)

    def first(self, z: Float[np.ndarray, "N W"]) -> Float[np.ndarray, "N D"]:
        """The first numbers of unit vectors, made unit vectors again."""
        if not 0 < self.dims <= z.shape[1]:
            raise SensoriumError(f"dims={self.dims}: vectors of this model have {z.shape[1]} numbers, give fewer")
        part = z[:, : self.dims]
        return (part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12)).astype(np.float32)
