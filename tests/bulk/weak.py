"""What the processes of a bulk job import first (`Spec.use`): there `sensorium.load` gives the model of `stand_in`."""

from bulk.stand_in import load

import sensorium

sensorium.load = load  # type: ignore[assignment]
