import numpy as np

from sensorium.core.errors import SensoriumError
from sensorium.modalities.raw import BadRaw, described


def test_a_thing_is_described_by_type_shape_and_dtype():
    assert described(np.zeros((2, 3), np.float32)) == "ndarray float32[2, 3]"
    assert described("x") == "str"


def test_it_is_an_error_that_a_person_can_act_on():
    assert issubclass(BadRaw, SensoriumError) and issubclass(BadRaw, ValueError)
