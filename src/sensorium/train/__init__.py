"""Training: an experiment, one compiled step, and the loop around it. The only room that changes parameters."""

from sensorium.train.experiment import Card as Card
from sensorium.train.experiment import Experiment as Experiment
from sensorium.train.loop import fit as fit
from sensorium.train.optimizer import adamw as adamw
from sensorium.train.step import Step as Step
