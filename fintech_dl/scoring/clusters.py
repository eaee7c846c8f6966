"""Ray clusters: the one that runs is joined, else one is started for the job and ended with it."""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fintech_dl.errors import TemporaryError, UsageError

PATIENCE = 3.0  # seconds for a cluster to answer
STORE_BYTES = 80 * 2**20  # about Ray's least: no rows pass through its object store
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # what makes a local cluster listen on loopback alone
}


@contextmanager
def heeding() -> Iterator[Callable[[], None]]:
    """Keep signals back until they are asked for: within Ray's calls their exit codes are lost."""
    came: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    found = {n: signal.getsignal(n) for n in numbers if main}
    handlers = {int(n): handler for n, handler in found.items() if callable(handler)}

    def heed() -> None:
        while came:
            number = came.pop()
            handlers[number](number, None)

    for number in handlers:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield heed
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        heed()


@contextmanager
def cluster(workers: int | None, shards: int | None) -> Iterator[tuple[Any, int]]:
    """Yield Ray, connected, and the most actors; end what was begun here.

    The processes of a cluster end with the thread that has started it, so that it has to live as
    long as they are needed.

    Parameters
    ----------
    workers : int or None
        As asked for.
    shards : int or None
        How many there are, if that is known.
    """
    address = _running()
    before = {name: os.environ.get(name) for name in QUIET}
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray

        if ray.is_initialized():  # the session of the caller stays as it is
            yield ray, _fitting(ray, workers)
            return
        from joblib import cpu_count

        most = workers or int(cpu_count())
        most = most if shards is None else min(most, shards)
        session = _connect(ray, address, most)
        try:
            yield ray, _fitting(ray, workers) if address else most
        finally:
            ray.shutdown()
            if not address:  # the logs of every night would fill the disk
                shutil.rmtree(session, ignore_errors=True)
    finally:
        for name, old in before.items():
            if old is None:
                os.environ.pop(name, None)


def _connect(ray: Any, address: str, processors: int) -> str:
    """Join the cluster or start one; return the folder of its logs."""
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if not address:
        options |= {"num_cpus": processors, "include_dashboard": False}
        options |= {"object_store_memory": STORE_BYTES}
    # of a cluster that was found here Ray knows the token only where it finds it by itself
    options["address"] = (address or "local") if address != _noted() else None
    try:
        with _our_handler():
            context = ray.init(**options)
    except (ConnectionError, TimeoutError) as error:
        raise _silent(address, error) from error
    except Exception as error:  # Ray raises no narrower one where a node dies while it starts
        if address:
            raise UsageError(f"the Ray cluster at {address} cannot be used: {error}") from error
        raise TemporaryError(f"Ray cannot be started on this machine: {error}") from error
    return "" if address else str(context.address_info["session_dir"])


@contextmanager
def _our_handler() -> Iterator[None]:
    """Keep our handler of SIGTERM while Ray starts: its C++ part puts one in place that aborts.

    Python's own C functions do it, since ``signal.signal`` is refused in any but the main thread.
    """
    python, number = ctypes.pythonapi, int(signal.SIGTERM)
    python.PyOS_getsig.restype = ctypes.c_void_p
    ours = ctypes.c_void_p(python.PyOS_getsig(number))
    loud = logging.getLogger("ray")
    level = loud.level
    loud.setLevel(logging.ERROR)  # it warns that it sets no handler but in the main thread
    try:
        yield
    finally:
        loud.setLevel(level)
        python.PyOS_setsig(number, ours)
        if signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
            signal.alarm(0)  # of a signal that came meanwhile: it aborts three seconds later


def _fitting(ray: Any, workers: int | None) -> int:
    """Return how many actors there will be; refuse more than the cluster could ever run."""
    has = int(ray.cluster_resources().get("CPU", 0))
    if (workers or 1) > has:
        raise UsageError(
            f"the Ray cluster has {has} processors, {workers or 1} are needed; give fewer "
            "--workers, or start it with more --num-cpus"
        )
    return workers or has


def _running() -> str:
    """Return the address of the cluster to join; empty where none runs.

    It is asked first whether it is there: Ray waits minutes for one that has crashed.
    """
    given = os.environ.get("RAY_ADDRESS", "")
    if "://" in given:
        return given
    if given in ("", "auto", "local"):
        found = "" if given == "local" else _noted()
        return found if found and _answers(found) is None else ""
    if (error := _answers(given)) is not None:
        raise _silent(given, error)
    return given


def _noted() -> str:
    """Return the address that ``ray start`` has noted on this machine; empty without one."""
    try:
        note = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")
        return note.read_text().strip()
    except OSError:
        return ""


def _answers(address: str) -> Exception | None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
    except (OSError, ValueError) as error:
        return error
    return None


def _silent(address: str, error: Exception) -> TemporaryError:
    return TemporaryError(
        f"the Ray cluster at {address or 'this machine'} does not answer ({error}); start it, or "
        "unset RAY_ADDRESS to start one here for the job"
    )
