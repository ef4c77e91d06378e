"""Training: an experiment, one compiled step, and the loop around it. The only room that changes parameters."""

from sensorium.core.trainer import Trainer as Trainer
from sensorium.optim.optimizer import adamw as adamw
from sensorium.training.experiment import Card as Card
from sensorium.training.experiment import Experiment as Experiment
from sensorium.training.loop import fit as fit
from sensorium.training.loop import minimise as minimise
from sensorium.training.objective import contrast as contrast
from sensorium.training.step import Step as Step
