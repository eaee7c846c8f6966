"""Families 18, 19, 20 and 22: artefacts that were tampered with, or made to do harm."""

import json
import os
import random
import shutil
import subprocess
import sys
from hashlib import sha256

import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from fintech_dl.artefact import read_files
from fintech_dl.errors import ArtefactError
from fintech_dl.sealed import write_files
from tests.faults.conftest import scaled
from tests.faults.hostile import ARCHIVES, GRAPHS, KERAS, PLACES, keras_file
from tests.faults.world import MOMENT, environment, loans, score_again, write

GRAPH = ("model.onnx", "graph.json", "parity.json")

# ---- 18 -----------------------------------------------------------------------------------------


def tampered(folder, other, rng, number):
    """Change an artefact in one of twelve ways; return which."""
    names = sorted(path.name for path in folder.iterdir())
    name = names[number % len(names)]
    path = folder / name
    how = (number // len(names)) % 12
    if how in (0, 1, 2):
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
    elif how == 3:
        path.unlink()
    elif how == 4:
        path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])
    elif how == 5:
        path.write_bytes(path.read_bytes() + b"\n")
    elif how == 6:
        real = folder.parent / f"real-{number}"
        path.rename(real)
        path.symlink_to(real)
    elif how == 7:
        shutil.copy(other / name, path)
        return f"{name} of another model"
    elif how == 8:
        (folder / f"{name}.bak").write_bytes(b"more")
    elif how == 9:
        path.unlink()
        path.mkdir()
    elif how == 10:
        path.unlink()
        os.mkfifo(path)
    else:
        path.rename(folder / name.upper())
    return f"{name}: {how}"


def test_tampered_artefacts(world, place, tally):
    rng = random.Random("tampered")
    new = write(loans(20), place / "new.parquet")
    met = 0
    same = {
        path.name
        for path in world.artefact.iterdir()
        if path.read_bytes() == (world.other / path.name).read_bytes()
    }
    for number in range(10_000):
        if met == scaled(60, 600):
            break
        folder = place / f"artefact-{number}"
        shutil.copytree(world.artefact, folder)
        how = tampered(folder, world.other, rng, number)
        if how.split(" ")[0] in same and "another" in how:
            continue
        if how == "MANIFEST.json of another model":
            assert (folder / "MANIFEST.json").read_bytes() != (
                world.artefact / "MANIFEST.json"
            ).read_bytes()
        found = score_again(folder, new, place / "out")
        assert isinstance(found, ArtefactError), (how, found)
        assert found.exit_code == 5
        assert str(folder) in str(found), (how, found)
        assert not (place / "out").exists(), how
        met += 1
    tally(18, met)


# ---- 19, 20, 22 ---------------------------------------------------------------------------------

READER = """
import json, os, resource, socket, sys
import numpy, pandas, skops.io, sklearn.pipeline, sklearn.compose, sklearn.linear_model
from fintech_dl.errors import FintechError
from fintech_dl.scoring.jobs import score_files
from fintech_dl.scoring.reading import read_scores

def no(*a, **k): os._exit(3)
socket.socket.connect = no
new, out, moment = sys.argv[1:4]
said, most = [], None
for number, folder in enumerate(sys.argv[4:]):
    try:
        score_files(folder, new, f"{out}/{number}", as_of=moment)
        told = [0, read_scores(f"{out}/{number}")["score"].tolist()]
    except FintechError as error:
        told = [error.exit_code, str(error)]
    print(json.dumps(told), flush=True)
    if number == 1:  # the first two are sound
        pages = int(open("/proc/self/statm").read().split()[0])
        most = pages * resource.getpagesize() + 2**30
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def proven(files, **changed):
    """Return files with others in their place, and a proof that speaks of these."""
    files = {**files, **{name.replace("_", "."): data for name, data in changed.items()}}
    proof = json.loads(files["parity.json"])
    names = ("model.skops", "model.onnx", "graph.json")
    proof["sha256"] = {name: sha256(files[name]).hexdigest() for name in names}
    return {**files, "parity.json": json.dumps(proof).encode()}


@pytest.fixture(scope="module")
def files(world):
    """Return the files of a model with a graph."""
    return read_files(world.artefact)


@pytest.fixture(scope="module")
def plain(files):
    """Return the files of a model without a network: skops reads it at each start."""
    rows = loans(200)
    numbers = ["amount", "income", "late"]
    model = make_pipeline(
        make_column_transformer((SimpleImputer(), numbers)), LogisticRegression(max_iter=500)
    ).fit(rows[[*numbers, "home", "region", "staff"]], rows["late"] > 5)
    rest = {name: data for name, data in files.items() if name not in GRAPH}
    return {**rest, "model.skops": skops.io.dumps(model)}


def test_hostile_archives_keras_files_and_graphs(files, plain, tmp_path, tally):
    home, marker = tmp_path / "home", tmp_path / "ran"
    home.mkdir()
    made = {"sound": plain, "sound graph": files}
    for name, change in ARCHIVES.items():
        made[f"archive: {name}"] = {**plain, "model.skops": change(plain["model.skops"])}
    for kind in KERAS:
        data = keras_file(str(marker), kind=kind)
        made[f"keras: {kind} as model.skops"] = {**plain, "model.skops": data}
        made[f"keras: {kind} as model.onnx"] = proven(files, model_onnx=data)
        made[f"keras: {kind} beside them"] = {**files, "model.keras": data}
    width = len(json.loads(files["graph.json"])["columns"])
    for name, make in GRAPHS.items():
        made[f"graph: {name}"] = proven(files, model_onnx=make(width))
    folders = []
    for number, each in enumerate(made.values()):
        folders.append(home / f"a{number}")
        write_files(folders[-1], each)
    new = write(loans(20), home / "new.parquet")
    before = sorted(home.rglob("*"))
    words = [sys.executable, "-c", READER, new, tmp_path / "out", MOMENT, *folders]
    done = subprocess.run(
        list(map(str, words)),
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(HOME=str(tmp_path / "user"), OPENBLAS_NUM_THREADS="1"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    *said, grown = map(json.loads, done.stdout.splitlines())
    told = dict(zip(made, said, strict=True))
    assert told["sound"][0] == told["sound graph"][0] == 0
    wrong = {}
    for name, (code, what) in told.items():
        harmless = name.startswith(("archive", "sound")) or name.endswith("beside them")
        own = told["sound graph" if "beside" in name or name == "sound graph" else "sound"]
        if code != 5 and not (harmless and [code, what] == own):
            wrong[name] = code, what
    assert wrong == {}
    accepted = [name for name, (code, _) in told.items() if code == 0]
    assert len(accepted) <= 2 + len(KERAS) + 8, accepted  # harmless, and the scores are the same
    assert grown < 400, "MB more than before the first of them"
    assert not marker.exists()
    assert sorted(home.rglob("*")) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out"]
    tally(19, len(ARCHIVES))
    tally(20, len(KERAS) * len(PLACES))
    tally(22, len(GRAPHS))
    assert (len(ARCHIVES), len(KERAS) * len(PLACES), len(GRAPHS)) >= (24, 24, 16)
