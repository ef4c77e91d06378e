"""A bulk job as a SLURM array: each job of the array makes the shards of its number."""

import re
import shlex
from collections.abc import Sequence

from sensorium.core.errors import SensoriumError

JOBS = 1000
"""Jobs of an array at most: SLURM's own limit of their numbers (MaxArraySize) unless the cluster says otherwise."""


def script(command: Sequence[str], missing: Sequence[int], shards: int, at_once: int = 0) -> str:
    """The batch script that makes the `missing` ones of so many shards by `command`, which it gives `--shard`.

    Of more than `JOBS` shards each job makes several. `at_once`: how many jobs may run at the same time. What the jobs need (a
    partition, GPUs, time) is said to `sbatch`, whose options go before those of the script.
    """
    several = shards > JOBS
    numbers = sorted({i % JOBS for i in missing} if several else missing)
    limit = f"%{at_once}" if at_once else ""
    words = [*map(shlex.quote, command), "--shard", f'"$SLURM_ARRAY_TASK_ID{f"/{JOBS}" if several else ""}"']
    return "\n".join(
        [
            "#!/bin/bash",
            "#SBATCH --job-name=sensorium-embed",
            f"#SBATCH --array={_ranges(numbers)}{limit}",
            "#SBATCH --requeue",
            "#SBATCH --open-mode=append",
            " ".join(words),
            "",
        ]
    )


def share(text: str, shards: int) -> list[int]:
    """The shards that `--shard` means: "3" is shard 3, "3/1000" every one whose number is 3 by remainder of 1000."""
    found = re.fullmatch(r"(\d+)(?:/([1-9]\d*))?", text)
    if not found:
        raise SensoriumError(f"--shard {text}: expected a number such as 3, or 3/1000 for 3, 1003, 2003 …")
    i, of = int(found[1]), int(found[2] or shards)
    if i >= min(of, shards):
        raise SensoriumError(f"--shard {text}: the job has the shards 0 to {shards - 1}")
    return list(range(i, shards, of))


def _ranges(numbers: Sequence[int]) -> str:
    """`[0, 1, 2, 5]` as `0-2,5`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)
