"""Decoders: from what an encoder made of one sense to the tokens, pixels or samples of another."""

from sensorium.core.table import Table
from sensorium.decoders.beam import search as search
from sensorium.decoders.beam import several as several
from sensorium.decoders.choosing import ChoosingDecoder as ChoosingDecoder
from sensorium.decoders.denoiser import NETWORKS as NETWORKS
from sensorium.decoders.denoiser import Denoised as Denoised
from sensorium.decoders.denoiser import Denoiser as Denoiser
from sensorium.decoders.denoiser import Drawing as Drawing
from sensorium.decoders.dit import DiT as DiT
from sensorium.decoders.form import FORMS as FORMS
from sensorium.decoders.form import Form as Form
from sensorium.decoders.grid import GridDecoder as GridDecoder
from sensorium.decoders.likelihood import LIKELIHOODS as LIKELIHOODS
from sensorium.decoders.likelihood import GridLikelihood as GridLikelihood
from sensorium.decoders.likelihood import Imputed as Imputed
from sensorium.decoders.likelihood import TokenLikelihood as TokenLikelihood
from sensorium.decoders.published import Prompted as Prompted
from sensorium.decoders.published import PublishedDecoder as PublishedDecoder
from sensorium.decoders.sampling import Ends as Ends
from sensorium.decoders.sampling import Sampling as Sampling
from sensorium.decoders.sampling import write as write
from sensorium.decoders.scores import scores as scores
from sensorium.decoders.telling import TellingDecoder as TellingDecoder
from sensorium.decoders.telling import teacher_forced as teacher_forced
from sensorium.decoders.tokens import Context as Context
from sensorium.decoders.tokens import TokenDecoder as TokenDecoder
from sensorium.decoders.unet import UNet as UNet
from sensorium.decoders.writer import Ruled as Ruled
from sensorium.decoders.writer import Writer as Writer

DECODERS: Table[type[PublishedDecoder] | type[TellingDecoder] | type[ChoosingDecoder]] = Table(
    "decoder", {"published": PublishedDecoder, "tokens": TellingDecoder, "choices": ChoosingDecoder}
)
"""Those that a `Generator` may have: token ids and an `Encoding` to logits of the tokens after them."""
