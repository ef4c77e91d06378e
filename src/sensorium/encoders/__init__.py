"""Encoders: the array of one field -> Encoding. Rows never mix, and masked tokens never count."""

from sensorium.core.table import Table
from sensorium.encoders.audio_convnet import AudioConvNet as AudioConvNet
from sensorium.encoders.audio_transformer import AudioTransformer as AudioTransformer
from sensorium.encoders.bridged import Bridged as Bridged
from sensorium.encoders.convnet import ConvNet as ConvNet
from sensorium.encoders.probed import Probed as Probed
from sensorium.encoders.published import PublishedViT as PublishedViT
from sensorium.encoders.published_audio import PublishedAudio as PublishedAudio
from sensorium.encoders.published_htsat import PublishedHTSAT as PublishedHTSAT
from sensorium.encoders.published_patches import PublishedPatches as PublishedPatches
from sensorium.encoders.published_text import PublishedText as PublishedText
from sensorium.encoders.published_video import PublishedVideo as PublishedVideo
from sensorium.encoders.published_xclip import PublishedXCLIP as PublishedXCLIP
from sensorium.encoders.resnet3d import ResNet3D as ResNet3D
from sensorium.encoders.sensor import SensorTransformer as SensorTransformer
from sensorium.encoders.text_transformer import TextTransformer as TextTransformer
from sensorium.encoders.transformer import TokenTransformer as TokenTransformer
from sensorium.encoders.video import VideoTransformer as VideoTransformer
from sensorium.encoders.vit import ViT as ViT
from sensorium.encoders.wave import WaveTransformer as WaveTransformer

ENCODERS = Table(
    "encoder",
    {
        "convnet": ConvNet,
        "vit": ViT,
        "audio_convnet": AudioConvNet,
        "text_transformer": TextTransformer,
        "token_transformer": TokenTransformer,
        "audio_transformer": AudioTransformer,
        "wave": WaveTransformer,
        "video": VideoTransformer,
        "resnet3d": ResNet3D,
        "sensor": SensorTransformer,
        "bridged": Bridged,
        "probed": Probed,
        "published_vit": PublishedViT,
        "published_text": PublishedText,
        "published_patches": PublishedPatches,
        "published_video": PublishedVideo,
        "published_xclip": PublishedXCLIP,
        "published_audio": PublishedAudio,
        "published_htsat": PublishedHTSAT,
    },
)
