import pytest
from bulk import stand_in

import sensorium


@pytest.fixture(autouse=True)
def load(monkeypatch):
    """Whatever model is loaded in this process, too, is the small exact one; afterwards it is as it was."""
    monkeypatch.setattr(sensorium, "load", stand_in.load, raising=False)
