"""One of two processes of `test_hosts`: what they tell each other, and then the end of one of them. `python together.py OUT`."""

import json
import os
import signal
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from sensorium.core.errors import SensoriumError
from sensorium.training.hosts import PeerLost, agreed, any_of, by_first, joined
from sensorium.training.sharding import Placement, local


def fails() -> None:
    raise SensoriumError("no room")


def main(out: str) -> None:
    number = jax.process_index()
    made = {"any": [any_of(number == 1), any_of(False)], "agreed": agreed({"b": 2.0 + number, "a": -number})}
    by_first(lambda: Path(out, "made").write_text(str(number)))
    made["made"] = Path(out, "made").read_text()
    try:
        by_first(fails)
    except SensoriumError as error:
        made["failed"] = [type(error) is PeerLost, str(error)]
    place = Placement.of_text("fsdp=2")
    x = np.arange(8192, dtype=np.float32).reshape(2, 4096)
    arrays = {"cut": jnp.asarray(x), "same": jnp.arange(3.0)}
    lying = jax.device_put(arrays, place.of(arrays))
    made["lies"] = list(lying["cut"].addressable_shards[0].data.shape)
    whole = local(lying)
    made["whole"] = [bool((whole["cut"] == x).all()), whole["same"].tolist(), whole["cut"].is_fully_addressable]
    made["rows"] = np.asarray(place.rows({"x": np.full((2, 1), number)})["x"].addressable_shards[0].data).tolist()
    Path(out, f"{number}.json").write_text(json.dumps(made))
    while True:
        any_of(False)
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    try:
        with joined():
            print("spoken")
            main(*sys.argv[1:])
    except SensoriumError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
