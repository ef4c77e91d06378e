"""Losses: a value a row and which rows count. Frozen dataclasses read outputs by name; functions take the arrays themselves."""

from sensorium.losses.cycle import Cycle as Cycle
from sensorium.losses.denoise import Denoise as Denoise
from sensorium.losses.denoise import Outline as Outline
from sensorium.losses.distill import Distill as Distill
from sensorium.losses.elbo import Divergence as Divergence
from sensorium.losses.elbo import Elbo as Elbo
from sensorium.losses.infonce import InfoNCE as InfoNCE
from sensorium.losses.matryoshka import Matryoshka as Matryoshka
from sensorium.losses.mesh import on_mesh as on_mesh
from sensorium.losses.next_token import Captioning as Captioning
from sensorium.losses.next_token import next_token as next_token
from sensorium.losses.reconstruct import Reconstruct as Reconstruct
from sensorium.losses.reduce import Weight as Weight
from sensorium.losses.reduce import mean as mean
from sensorium.losses.reduce import total as total
from sensorium.losses.sigmoid import Sigmoid as Sigmoid
from sensorium.losses.triplet import Triplet as Triplet
from sensorium.losses.weighted import Weighted as Weighted
