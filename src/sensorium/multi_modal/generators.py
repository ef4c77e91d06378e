"""One sense from another, by the guide's names: pictures, sounds and texts from each other, one or a batch."""

from sensorium.multi_modal.to_audio import ImageToAudioGenerator as ImageToAudioGenerator
from sensorium.multi_modal.to_audio import TextToAudioGenerator as TextToAudioGenerator
from sensorium.multi_modal.to_image import AudioToImageGenerator as AudioToImageGenerator
from sensorium.multi_modal.to_image import TextToImageGenerator as TextToImageGenerator
from sensorium.multi_modal.to_text import AudioToTextGenerator as AudioToTextGenerator
from sensorium.multi_modal.to_text import ImageToTextGenerator as ImageToTextGenerator
from sensorium.multi_modal.to_text import VideoToTextGenerator as VideoToTextGenerator
