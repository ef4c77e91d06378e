"""The encoders, by the names of the guide: each gives unit vectors of one thing or of a batch."""

from sensorium.multi_modal.clip import CLIPModel as CLIPModel
from sensorium.multi_modal.image_text import ImageEncoder as ImageEncoder
from sensorium.multi_modal.image_text import TextEncoder as TextEncoder
from sensorium.multi_modal.senses import AudioEncoder as AudioEncoder
from sensorium.multi_modal.senses import SensorEncoder as SensorEncoder
from sensorium.multi_modal.senses import VideoEncoder as VideoEncoder
from sensorium.multi_modal.simple import SimpleImageEncoder as SimpleImageEncoder
from sensorium.multi_modal.simple import SimpleMultimodalModel as SimpleMultimodalModel
from sensorium.multi_modal.simple import SimpleTextEncoder as SimpleTextEncoder
