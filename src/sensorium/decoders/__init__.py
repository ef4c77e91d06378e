"""Decoders: from what an encoder made of one sense to the tokens, pixels or samples of another."""

from sensorium.decoders.beam import search as search
from sensorium.decoders.grid import GridDecoder as GridDecoder
from sensorium.decoders.sampling import Ends as Ends
from sensorium.decoders.sampling import Sampling as Sampling
from sensorium.decoders.sampling import write as write
from sensorium.decoders.tokens import Context as Context
from sensorium.decoders.tokens import TokenDecoder as TokenDecoder
