"""An engine that scores nothing, on which faults can be ordered; Python loads it by itself.

A worker that finds this file's folder on its path takes it for ``fintech_dl.scoring.engine``.
``faults.json`` in the run folder says what befalls a shard at its first, second ... attempt.
"""

import errno
import importlib
import json
import os
import signal
import sys
import time
import warnings

NAME = "fintech_dl.scoring.engine"
sys.modules[NAME] = sys.modules[__name__]


def open_engine(run, plan):
    if not (run / "faults.json").exists():  # no stand-in is wanted: this process takes the engine
        del sys.modules[NAME]
        return importlib.import_module(NAME).open_engine(run, plan)
    engine = (run, plan, json.loads((run / "faults.json").read_text()))
    befall(engine, "open")
    return engine


def score_shard(engine, k):
    from fintech_dl.scoring import commits, store

    run, plan, _ = engine
    path = commits.part_path(run, commits.PARTS, k, store.attempt())
    with store.placing(path) as temp:
        temp.write_text(f"the scores of shard {k}")
        befall(engine, str(k))
    commit = commits.Commit(
        key=plan.key,
        shard=k,
        part=commits.made(path),
        quarantine=None,
        reasons=None,
        rows_in=plan.rows_of(k),
        scored=plan.rows_of(k) - 1,
        quarantined=1,
    )
    return commits.write_commit(run, commit)


def befall(engine, name):
    """Note that this process came by, and do what is ordered for this time."""
    run, _, faults = engine
    times = len(list(run.glob(f"met-{name}-*")))
    threads = os.environ.get("OMP_NUM_THREADS")
    note = run / f"note-{os.getpid()}-{name}"
    note.write_text(json.dumps({"pid": os.getpid(), "threads": threads}))
    note.rename(run / f"met-{name}-{times}")  # whole, for who looks at any moment
    ordered = faults.get(name, [])
    fault = ordered[min(times, len(ordered) - 1)] if ordered else ""
    what, _, more = fault.partition(" ")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "sleep":
        time.sleep(float(more))
    elif what == "compute":
        last = time.monotonic() + float(more)
        while time.monotonic() < last:
            pass
    elif what == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    elif what == "talk":
        print("a library prints")
        warnings.warn("a library warns", stacklevel=1)
    elif what:
        from fintech_dl import errors

        raise getattr(errors, what, ValueError)(more or "it is bad")
