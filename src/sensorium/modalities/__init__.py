"""How each kind of raw thing becomes arrays of fixed shapes, and back. Units and file formats are known here only."""

from sensorium.core.protocols import Modality
from sensorium.core.table import Table
from sensorium.modalities.audio import Audio as Audio
from sensorium.modalities.image import Image as Image
from sensorium.modalities.raw import BadRaw as BadRaw
from sensorium.modalities.sensor import Sensor as Sensor
from sensorium.modalities.text import Text as Text
from sensorium.modalities.video import Video as Video

MODALITIES: Table[type[Modality]] = Table(
    "modality", {"image": Image, "text": Text, "audio": Audio, "video": Video, "sensor": Sensor}
)
"""By kind. `MODALITIES[kind](**arguments)` makes again a field whose arguments were saved with `dataclasses.asdict`."""
