"""By which rule parameters move, and which of them do: optimizers, schedules, freezing, thawing, adapters."""

from sensorium.optim.lora import merge as merge
from sensorium.optim.optimizer import OPTIMIZERS as OPTIMIZERS
from sensorium.optim.optimizer import adamw as adamw
from sensorium.optim.trainable import Trainable as Trainable
from sensorium.optim.trainable import staged as staged
from sensorium.optim.trainable import table as table
