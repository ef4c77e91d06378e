"""Several processes, on one host or many, as one run: how they find each other, who writes, and what happens when one is lost.

JAX's own multi-controller runtime does the work: every process runs the same program and sees all devices. Process 0 writes
the run; every process reads its own rows of each batch. Each process reports to process 0 every few seconds; where one stops,
JAX ends all others by an abort without words, which is turned here into a sentence and exit code 1.
"""

import atexit
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from sensorium.core.errors import SensoriumError
from sensorium.training.interrupt import Interrupted

T = TypeVar("T")
HEARTBEAT = 30
"""Seconds without a sign of life after which a process is held to be lost."""
PATIENCE = 300
"""Seconds that processes wait for each other at the start and at the end: hosts boot, and pull images, at their own pace."""
RANKS = (
    ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"),
    ("JAX_NUM_PROCESSES", "JOB_COMPLETION_INDEX"),
    ("SLURM_NTASKS", "SLURM_PROCID"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
)
"""Variables that say how many processes there are and which one this is; with `JAX_COORDINATOR_ADDRESS` they are enough."""
LOST = (
    "another process of this run has ended, or cannot be reached any more: what it said last says why. Nothing after the last "
    "checkpoint is kept; the same command with --resume, in all processes, goes on from there"
)
TALK = ("gloo", "nccl", "coordination service", "connection closed", "connection reset", "unhealthy", "socket closed")


class BadHosts(SensoriumError, ValueError):
    """An environment that speaks of several processes and does not say enough to bring them together."""


class PeerLost(SensoriumError):
    """Another process of the run is gone: killed, crashed, or out of reach."""


def found(environment: Mapping[str, str]) -> tuple[str | None, int, int] | None:
    """(coordinator or None, number of processes, number of this one) as plain variables say it; None where they say nothing.

    Without `JAX_COORDINATOR_ADDRESS` the launcher has to be one that JAX knows (see `start`). `BadHosts` names what is missing
    or makes no sense.
    """
    address = environment.get("JAX_COORDINATOR_ADDRESS")
    for many, which in RANKS:
        if many in environment and which in environment:
            try:
                count, number = int(environment[many]), int(environment[which])
            except ValueError:
                count = number = -1
            if not 0 <= number < count:
                got = f"{many}={environment[many]}, {which}={environment[which]}"
                raise BadHosts(f"{got}: expected the number of processes, and which of them this is, counted from 0")
            return address, count, number
    if address or "JAX_NUM_PROCESSES" in environment or "JAX_PROCESS_ID" in environment:
        pairs = ", ".join(f"{many} with {which}" for many, which in RANKS)
        raise BadHosts(
            f"JAX_COORDINATOR_ADDRESS={address}: several processes also need to know how many they are and which this one is. "
            f"Set one of these pairs: {pairs}"
        )
    return None


def start(environment: Mapping[str, str] = os.environ) -> bool:
    """Joins the other processes of this run, if the environment says that there are any; whether there are.

    To be called before JAX computes anything. Plain variables (see `RANKS`) come first; then the launchers that JAX itself
    knows: SLURM (srun), Open MPI 4, Kubernetes (indexed jobs and job sets, with the package `kubernetes`) and TPU pods. Where
    somebody has called `jax.distributed.initialize` already, as Ray does, nothing is left to do.
    """
    if jax.distributed.is_initialized():
        return jax.process_count() > 1
    told = found(environment)
    if told is not None and told[1] == 1:
        return False
    address = told[0] if told else None
    if address is None and not _known(environment):
        if told is not None and not _alone(environment):
            raise BadHosts(
                f"the launcher has started {told[1]} processes, and does not say where the first one is: set "
                "JAX_COORDINATOR_ADDRESS=HOST:PORT, the host of process 0 and a free port there, for all of them"
            )
        return False
    jax.config.update("jax_enable_preemption_service", False)  # SIGTERM is heard by `interrupt`
    given = {} if address is None else {"coordinator_address": address, "num_processes": told[1], "process_id": told[2]}  # type: ignore[index]
    try:
        jax.distributed.initialize(
            **given,  # type: ignore[arg-type]
            initialization_timeout=PATIENCE,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=PATIENCE,
        )
    except RuntimeError as error:
        raise PeerLost(f"the processes of this run did not find each other: {error}") from error
    return jax.process_count() > 1


def _alone(environment: Mapping[str, str]) -> bool:
    """Inside an allocation of SLURM, but not started by srun: one process, whatever the allocation is for."""
    return "SLURM_NTASKS" in environment and "SLURM_STEP_NODELIST" not in environment


def _known(environment: Mapping[str, str]) -> bool:
    """Whether a launcher that JAX knows has started more than one process."""
    from jax._src.clusters import ClusterEnv

    for launcher in ClusterEnv._cluster_types:
        if launcher.opt_in_only_method or (launcher.__name__ == "K8sCluster" and "JOB_COMPLETION_INDEX" not in environment):
            continue  # a pod that is no part of an indexed job is alone
        if launcher.is_env_present():
            return launcher.get_process_count() > 1
    return False


@contextmanager
def joined(environment: Mapping[str, str] = os.environ) -> Iterator[bool]:
    """Within it the processes are one run; gives whether this one is to speak. What is printed meanwhile goes to stderr, as
    libraries print greetings; of what is printed afterwards only the words of process 0 are heard.

    One that is lost is a `PeerLost` in the others, or where they cannot raise it, as they wait inside a library, its text on
    stderr and exit code 1. After an error this process leaves without waiting for the others, who would wait for it.
    """
    if not start(environment):
        yield True
        return
    hush = _words_before_an_abort()
    sys.stdout.flush()
    after = os.dup(1) if first() else os.open(os.devnull, os.O_WRONLY)
    os.dup2(2, 1)
    try:
        yield first()
    except Interrupted:  # in all of them, after the same step
        jax.distributed.shutdown()
        raise
    except BaseException as error:
        atexit.register(_leave)
        if not isinstance(error, SensoriumError) and any(word in str(error).lower() for word in TALK):
            hush()
            raise PeerLost(LOST) from error
        raise
    finally:
        sys.stdout.flush()
        os.dup2(after, 1)
    jax.distributed.shutdown()


def _words_before_an_abort() -> Callable[[], None]:
    """From here on an abort says that a process was lost, and exits with 1; what it gives makes the exit wordless."""
    silent = False

    def say(number: int) -> None:
        if not silent:
            os.write(2, f"error: {LOST}\n".encode())
        os._exit(1)

    def hush() -> None:
        nonlocal silent
        silent = True

    # In C, as Python hears signals only between two of its own instructions, and an abort leaves no time for these.
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(say)
    _kept.append(handler)
    ctypes.CDLL(None).signal(signal.SIGABRT, handler)
    return hush


_kept: list[object] = []
"""Handlers that C holds, which Python must not throw away."""


def _leave() -> None:
    """Without the barrier at which JAX waits, minutes long, for processes that may never come."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return jax.process_index() == 0


def by_first(work: Callable[[], object]) -> None:
    """Process 0 does something, and all others wait for it; where it fails, it fails in all."""
    if jax.process_count() == 1:
        work()
        return
    error: Exception | None = None
    if first():
        try:
            work()
        except Exception as failure:
            error = failure
    failed = multihost_utils.broadcast_one_to_all(np.asarray(error is not None))
    if error is not None:
        raise error
    if failed:
        raise PeerLost("process 0 of this run could not go on, and says why")


def any_of(mine: bool) -> bool:
    """Whether something is so in any of the processes; all ask at the same step."""
    return bool(np.any(multihost_utils.process_allgather(np.asarray(mine)))) if jax.process_count() > 1 else mine


def agreed(numbers: dict[str, float]) -> dict[str, float]:
    """The numbers as process 0 has them: what is decided by them is decided alike, though machines may differ in the last bit."""
    if jax.process_count() == 1:
        return numbers
    names = sorted(numbers)
    values = multihost_utils.broadcast_one_to_all(np.array([numbers[name] for name in names], np.float32))
    return {name: float(value) for name, value in zip(names, values, strict=True)}
