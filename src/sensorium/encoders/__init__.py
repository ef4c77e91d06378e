"""Encoders: the array of one field -> Encoding. Rows never mix, and masked tokens never count."""

from sensorium.core.table import Table
from sensorium.encoders.audio_convnet import AudioConvNet as AudioConvNet
from sensorium.encoders.convnet import ConvNet as ConvNet
from sensorium.encoders.text_transformer import TextTransformer as TextTransformer

ENCODERS = Table(
    "encoder",
    {"convnet": ConvNet, "audio_convnet": AudioConvNet, "text_transformer": TextTransformer},
)
