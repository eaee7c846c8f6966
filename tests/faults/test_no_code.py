"""Family 21: wherever a file is read, a pickle stays data; and nothing that scores needs Keras."""

import gzip
import io
import os
import pickle
import shutil
from pathlib import Path

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fintech_dl.artefact import read_files
from fintech_dl.errors import FintechError
from fintech_dl.scoring.audit import verify
from fintech_dl.scoring.jobs import resume_scores
from fintech_dl.scoring.reading import read_scores
from fintech_dl.sealed import write_files
from tests.faults.world import (
    ended,
    environment,
    loans,
    process,
    score_again,
    tried,
    truth,
    words_of,
    write,
)

NO_CODE = Path(__file__).parent / "no_code"


class Evil:
    """Touches a file wherever it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def payloads(marker):
    """Return an object that does harm, in every form in which Python's libraries keep objects."""
    evil = Evil(str(marker))
    boxes = [io.BytesIO() for _ in range(3)]
    joblib.dump(evil, boxes[0])
    np.save(boxes[1], np.array([evil], dtype=object), allow_pickle=True)
    np.savez(boxes[2], x=np.array([evil], dtype=object))
    return [
        *(pickle.dumps(evil, protocol) for protocol in (0, 2, 5)),
        *(box.getvalue() for box in boxes),
    ]


@pytest.fixture
def poisoned(monkeypatch):
    """Let whatever reads an object of Python raise what nothing catches."""

    class Unpickled(BaseException):
        pass

    def refused(*given, **more):
        raise Unpickled

    real = np.load
    monkeypatch.setattr(pickle, "load", refused)
    monkeypatch.setattr(pickle, "loads", refused)
    monkeypatch.setattr(joblib, "load", refused)
    monkeypatch.setattr(
        np, "load", lambda *a, **k: refused() if k.get("allow_pickle") else real(*a, **k)
    )


def places(world, half, place):
    """Yield places where a file is read: its path, and what reads it."""
    sound = write(loans(20), place / "new.parquet")

    def scored(artefact, path):
        return lambda: score_again(artefact, path, place / "out", history=None)

    for name in ("new.parquet", "new.csv", "new.csv.gz"):
        path = place / "input" / name
        path.parent.mkdir(exist_ok=True)
        yield path, scored(world.artefact, path)
    for name in ("past.csv", "past.parquet"):
        path = place / name
        yield path, lambda path=path: score_again(world.artefact, sound, place / "o", history=path)
    card = place / "query.toml"
    yield card, scored(world.artefact, card)
    files = read_files(world.artefact)
    for name in files:
        folder = place / f"artefact-{name}"

        def sealed(data, folder=folder, name=name):
            write_files(folder, {**files, name: data})

        sealed.path = folder / name
        yield sealed, scored(folder, sound)
    shutil.copytree(world.artefact, place / "unsealed")
    yield place / "unsealed" / "MANIFEST.json", scored(place / "unsealed", sound)

    for number, (of, pattern) in enumerate(
        [
            (half, "run-*/plan.json"),
            (half, "run-*/commits/00000.json"),
            (half, "run-*/parts/part-00000-*.parquet"),
            (half, "run-*/quarantine/part-00000-*.parquet"),
            (half, "run-*/landed-*/repeated.parquet"),
            (world.out, "run-*/MANIFEST.json"),
            (world.out, "run-*/parts/part-00000-*.parquet"),
            (world.out, "latest.json"),
        ]
    ):
        out = place / f"own-{number}"
        shutil.copytree(of, out)
        (path,) = out.glob(pattern)

        def read(out=out):
            assert verify(out)["faults"]
            if (out / "latest.json").exists():
                return tried(read_scores, out)
            return tried(resume_scores, out)

        yield path, read


@pytest.fixture(scope="module")
def half(world, tmp_path_factory):
    """Return a run that was planned and interrupted after three shards."""
    from tests.faults.world import failing, small_shards

    out = tmp_path_factory.mktemp("half") / "out"
    with small_shards(), failing("part.temp:before:full:4"):
        assert score_again(world.artefact, world.inputs, out).exit_code == 75
    return out


def test_pickles_stay_data(world, half, place, poisoned, tally, monkeypatch, recwarn):
    marker = place / "ran"
    forms = payloads(marker)
    met = 0
    for number, (path, read) in enumerate(places(world, half, place)):
        data = forms[number % len(forms)]
        data = gzip.compress(data) if str(path).endswith(".gz") else data
        name = getattr(path, "path", path)
        if callable(path):
            path(data)
        else:
            path.write_bytes(data)
        found = read()
        made_anew = name.parent.name in ("commits", "parts", "quarantine")
        if found is None:
            assert made_anew, name
        else:
            assert isinstance(found, FintechError), (name, found)
            assert found.exit_code in (2, 4, 5), (name, found)
        assert not marker.exists(), name
        met += 1
    tally(21, met)
    assert met >= 20


def test_pickled_types_in_the_schema_of_a_file_stay_data(world, place, poisoned, tally):
    marker = place / "ran"
    table = pa.Table.from_pandas(loans(20), preserve_index=False)
    for form in payloads(marker)[:3]:
        about = {
            b"ARROW:extension:name": b"arrow.py_extension_type",
            b"ARROW:extension:metadata": form,
        }
        fields = [field.with_metadata(about) for field in table.schema]
        pq.write_table(
            table.cast(pa.schema(fields)), place / "new.parquet", write_page_checksum=True
        )
        found = score_again(world.artefact, place / "new.parquet", place / "out")
        assert found is None or found.exit_code in (4, 99), found
        shutil.rmtree(place / "out", ignore_errors=True)
        assert not marker.exists()
        tally(21, 1)


def test_nothing_that_scores_unpickles_or_imports_keras(world, place):
    """From the command line, with workers, from every kind of file, to the monitor's page."""
    day = place / "day"
    shutil.copytree(world.inputs, day)
    frame = loans(300, seed=7, first=5_000)
    frame.to_csv(day / "more.csv", index=False)
    frame.assign(loan=frame["loan"] + 300).to_csv(day / "more.csv.gz", index=False)
    code = "from fintech_dl.cli import main; main()"
    out = place / "out"
    scored = words_of(world.artefact, day, out, "--workers", 2)
    for words in (scored, ["verify", out], ["monitor", out], ["export", out, place / "all.csv"]):
        with process(*words, code=code, more=guarded()) as started:
            found, _, err = ended(started, 120)
        assert found == 0, (words, err)
    assert truth(out).totals["rows"] == 1_800


def test_the_guard_would_tell():
    """The test above can fail: its guard ends a process that unpickles or imports Keras."""
    for code in (
        "import pickle; pickle.loads(b'N.')",
        "import keras",
        "import numpy, http.client; numpy.load('x.npy', allow_pickle=True)",
        "import joblib, wave; joblib.load('x')",
    ):
        with process(code=code, more=guarded()) as started:
            assert ended(started)[0] == 86, code


def guarded():
    """Return the environment of a process that may neither unpickle nor import Keras."""
    return {"PYTHONPATH": os.pathsep.join([str(NO_CODE), environment()["PYTHONPATH"]])}
