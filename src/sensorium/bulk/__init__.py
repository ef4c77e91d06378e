"""Many items embedded by many processes: a pure function a shard, run here, under a supervisor, on Ray, or as a SLURM array."""

from sensorium.bulk.read import Status as Status
from sensorium.bulk.read import shards as shards
from sensorium.bulk.read import status as status
from sensorium.bulk.shard import Report as Report
from sensorium.bulk.shard import run_shard as run_shard
from sensorium.bulk.spec import Spec as Spec
