"""Artefacts that somebody made to do harm: nothing runs, nothing is written, memory is bounded.

Every one carries a manifest with digests that fit, as whoever means harm would make it.
"""

import functools
import io
import json
import os
import pickle
import re
import stat
import struct
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from fintech_dl.artefact import read_files, to_files
from fintech_dl.sealed import write_files

onnx = pytest.importorskip("onnx")
FLOAT, INT64, BOOL = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL
helper = onnx.helper

# Reads each artefact with little more memory than its libraries have taken, and without a network.
# Opens the model and the graph, and scores a row: what any part of it does must show.
READER = """
import json, os, resource, socket, sys
import numpy as np, pandas, skops.io, sklearn.pipeline
import fintech_dl.runs
from fintech_dl.artefact import light_scorer, read_files, to_model
from fintech_dl.errors import ArtefactError

def no(*a, **k): os._exit(3)
socket.socket.connect = no
light_scorer(read_files(sys.argv[1]))  # the first one is sound
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + 2**30
resource.setrlimit(resource.RLIMIT_AS, (most, most))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for folder in sys.argv[1:]:
    said = {}
    for part in ("files", "model", "graph"):
        try:
            if part == "files":
                files = read_files(folder)
            elif part == "model":
                to_model(files, folder)
            else:
                light = light_scorer(files, folder)
                light.scores(np.zeros((5, len(light.columns)), dtype=np.float32))
        except ArtefactError as error:
            said[part] = str(error)
        except Exception as error:
            said[part] = f"FAULT {type(error).__name__}: {error}"
        if part == "files" and said:
            break
    print(json.dumps(said))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def repacked(data, change=None, **more):
    """Return a skops file with parts changed or added."""
    box = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(box, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            part = change(name, part) if change else part
            if part is not None:
                new.writestr(name, part)
        for name, part in more.items():
            new.writestr(zipfile.ZipInfo(name), part, zipfile.ZIP_DEFLATED)
    return box.getvalue()


def with_names(*names):
    return lambda data: repacked(data, **{name: b"1" for name in names})


def twice(data):
    with pytest.warns(UserWarning, match="Duplicate name"):
        return repacked(data, **{"schema.json": b"{}"})


def lying(data):
    """Say in the directory that a large part is small."""
    name = next(n for n in zipfile.ZipFile(io.BytesIO(data)).namelist() if n.endswith(".npy"))
    rest = repacked(data, lambda n, part: None if n == name else part)
    whole = bytearray(repacked(rest, **{name: bytes(2**26)}))
    size = struct.pack("<I", 2**26)
    while (at := whole.find(size)) >= 0:
        whole[at : at + 4] = struct.pack("<I", 100)
    return bytes(whole)


def first_array(of):
    """Put something in place of the first array."""

    def changed(data):
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
        first = next(name for name in names if name.endswith(".npy"))
        return repacked(data, lambda name, part: of if name == first else part)

    return changed


def claims(shape):
    """Return the head of an array that says to be large, and holds next to nothing."""
    box = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        box, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    return box.getvalue() + bytes(64)


class Evil:
    """Touches a file wherever it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def objects(marker):
    box = io.BytesIO()
    np.save(box, np.array([Evil(marker)], dtype=object), allow_pickle=True)
    return box.getvalue()


def schema(old, new):
    def change(name, part):
        if name != "schema.json":
            return part
        assert old in part
        return part.replace(old, new)

    return lambda data: repacked(data, change)


def nested(name, part):
    return b'{"a":' * 100_000 + b"1" + b"}" * 100_000 if name == "schema.json" else part


def gadget(make):
    return lambda _, marker: skops.io.dumps(make(f"touch {marker}"))


MODELS = {  # made of model.skops (and of a marker that must never appear): what is said
    "zip slip": (with_names("../../evil.npy"), "no plain name"),
    "absolute path": (with_names("/tmp/evil.npy"), "no plain name"),
    "path of another system": (with_names("..\\evil.npy"), "no plain name"),
    "duplicate name": (twice, "two parts of one name"),
    "case clash": (with_names("SCHEMA.json"), "two parts of one name"),
    "bomb": (lambda data: repacked(data, **{"b.npy": bytes(2**26)}), "would unpack to 67,"),
    "bomb that lies": (lying, "cannot be|overlap|Bad"),
    "array of a huge shape": (first_array(claims((2**36,))), "cannot be loaded"),
    "array of an overflowing shape": (first_array(claims((2**40, 2**40))), "cannot be loaded"),
    "nested schema": (lambda data: repacked(data, nested), "cannot be read"),
    "part that is not there": (schema(b".npy", b".nyp"), "cannot be read"),
    "loader that is none": (schema(b'"ObjectNode"', b'"EvalNode"'), "cannot be read"),
    "method of a module": (schema(b'"ObjectNode"', b'"MethodNode"'), "cannot be|not trusted"),
    "shell": (gadget(lambda say: FunctionTransformer(os.system, kw_args={"c": say})), "system"),
    "partial": (
        gadget(lambda say: FunctionTransformer(functools.partial(os.system, say))), "not trusted"
    ),
    "eval": (gadget(lambda say: FunctionTransformer(eval, kw_args={"x": say})), "not trusted"),
}  # fmt: skip
PICKLES = {
    "pickle": lambda marker: pickle.dumps(Evil(marker)),
    "array of objects": objects,
}


def graph(nodes, initializers=(), width=1, out=(1, None, 1), of=FLOAT):
    x = helper.make_tensor_value_info("x", of, [None, width])
    y = helper.make_tensor_value_info("y", of, out)
    body = helper.make_graph(nodes, "g", [x], [y], initializer=list(initializers))
    sets = [helper.make_opsetid("", 18)]
    return helper.make_model(body, opset_imports=sets, ir_version=8).SerializeToString()


def number(name, values, dims, kind=onnx.TensorProto.INT64):
    return helper.make_tensor(name, kind, dims, values)


def oversize(width):
    tensor = number("w", [], [0], FLOAT)
    del tensor.dims[:]
    tensor.dims.extend([2**20, 2**20])
    return graph([helper.make_node("Add", ["x", "w"], ["y"])], [tensor], width)


def huge(width):
    """Ask for 256 GB of ones, of two numbers."""
    nodes = [
        helper.make_node("ConstantOfShape", ["n"], ["ones"]),
        helper.make_node("ReduceSum", ["ones"], ["s"]),
        helper.make_node("ReduceSum", ["x", "a"], ["r"]),
        helper.make_node("Add", ["r", "s"], ["t"]),
        helper.make_node("Unsqueeze", ["t", "z"], ["y"]),
    ]
    numbers = [number("n", [2**36], [1]), number("a", [1], [1]), number("z", [0], [1])]
    return graph(nodes, numbers, width)


def few(width):
    """Give one number, whatever comes."""
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=1)
    squeezed = helper.make_node("Unsqueeze", ["s", "z"], ["y"])
    node.output[0] = "s"
    return graph([node, squeezed], [number("z", [0], [1])], width)


def endless(n, times=None):
    """Return a graph that would go round for ever, or as often as a tensor says."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", [a], [b]) for a, b in (("go", "on"), ("was", "is"))],
        "step",
        [info("i", INT64, []), info("go", BOOL, []), info("was", FLOAT, None)],
        [info("on", BOOL, []), info("is", FLOAT, None)],
    )
    sure = helper.make_tensor("sure", BOOL, [], [True])
    given = [] if times is None else [times]
    named = times.name if given else ""
    loop = helper.make_node("Loop", [named, "sure", "x"], ["y"], body=body)
    return graph([loop], [sure, *given], width=n)


IDENTITY = helper.make_node("Identity", ["x"], ["y"])
EVIL = helper.make_node("Evil", ["x"], ["y"])
GRAPHS = {
    "oversize initialiser": (oversize, "cannot be used|cannot be run"),
    "huge constant": (huge, "cannot be used|cannot be run"),
    "fewer rows than came": (few, "gave .1, 1, 1. for 1024 rows"),
    "other width": (lambda n: graph([IDENTITY], width=n + 1), "takes rows of"),
    "other type": (lambda n: graph([IDENTITY], width=n, of=11), "tensor.double.|cannot be used"),
    "unknown operator": (lambda n: graph([EVIL], width=n), "is refused: it uses the operator"),
    "endless loop": (endless, "is refused: it loops in another way than ours do"),
}
RECORDS = {
    "nested": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "no record": b"[1, 2]",
    "number": b"3",
    "not JSON": b"\x80\x04cos\nsystem\n",
    "not UTF-8": b'{"format": "\xff"}',
}


@pytest.fixture(scope="module")
def sound(fraud_run):
    files = read_files(fraud_run.folder / "artefact")
    if "model.onnx" not in files:
        from fintech_dl import load

        model = load(fraud_run.folder / "artefact")
        files = {**files, **to_files(model)}
    assert "model.onnx" in files
    return files


def proven(files, **changed):
    """Return the files with others in their place, and a proof that speaks of these."""
    files = {**files, **{name.replace("_", "."): data for name, data in changed.items()}}
    proof = json.loads(files["parity.json"])
    proof["sha256"] = {
        name: sha256(files[name]).hexdigest()
        for name in ("model.skops", "model.onnx", "graph.json")
    }
    return {**files, "parity.json": json.dumps(proof).encode()}


@pytest.fixture(scope="module")
def hostile(sound, tmp_path_factory):
    """Return every hostile artefact: its folder, which part refuses it, and in which words."""
    home = tmp_path_factory.mktemp("hostile")
    marker, made = home / "ran", {"sound": (sound, "", "")}
    model = sound["model.skops"]
    for name, (change, says) in MODELS.items():
        data = change(model) if change.__code__.co_argcount == 1 else change(model, marker)
        made[name] = (proven(sound, model_skops=data), "model", says)
    for name, make in PICKLES.items():
        data = make(marker)
        made[f"{name} as model"] = (proven(sound, model_skops=data), "model", "cannot be read")
        within = first_array(data)(model)
        made[f"{name} in model"] = (proven(sound, model_skops=within), "model", "cannot be loaded")
        made[f"{name} as graph"] = (proven(sound, model_onnx=data), "graph", "is refused")
    width = len(json.loads(sound["graph.json"])["columns"])
    for name, (make, says) in GRAPHS.items():
        made[f"graph: {name}"] = (proven(sound, model_onnx=make(width)), "graph", says)
    for name, data in RECORDS.items():
        for record in ("graph.json", "parity.json"):
            changed = {**sound, record: data}
            if record == "graph.json":
                changed = proven(changed)
            made[f"{record}: {name}"] = (changed, "graph", f"{record} cannot be read")
    trusting = json.dumps({"trusted": ["posix.system"], "trust": ["posix.system"]}).encode()
    evil = skops.io.dumps(FunctionTransformer(os.system))
    both = {**proven(sound, model_skops=evil), "trusted.json": trusting}
    made["trusts itself"] = (both, "model", "not trusted: .*system")
    folders = {}
    for name, (files, part, says) in made.items():
        folders[name] = home / f"{len(folders)}", part, says
        write_files(folders[name][0], files)
    return folders, marker


def test_hostile_artefacts_are_refused_in_little_memory_and_without_a_network(hostile):
    folders, marker = hostile
    home = marker.parent
    before = sorted(home.rglob("*"))
    words = [sys.executable, "-c", READER, *(str(folder) for folder, _, _ in folders.values())]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    env["HOME"] = str(home / "home")  # where a runtime would keep what it reports of its users
    done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    *said, grown = map(json.loads, done.stdout.splitlines())
    wrong = {}
    for (name, (folder, part, says)), found in zip(folders.items(), said, strict=True):
        right = list(found) == ([part] if part else [])
        for text in found.values():
            right &= text.startswith((str(folder), "model.onnx ")) and bool(re.search(says, text))
        if not right:
            wrong[name] = found
    assert wrong == {}
    assert grown < 400, "MB more than before the first artefact"
    assert not marker.exists()
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize("name", ["zip slip", "bomb", "shell", "pickle as model", "trusts itself"])
def test_the_command_line_refuses_them_too(name, hostile, payments, tmp_path, command):
    folder = hostile[0][name][0]
    (folder / "model.onnx").unlink()  # so that the model is needed: and it is missed
    told = ["score", folder, payments / "new.csv", "-o", tmp_path / "out" / "s"]
    done = command(*told, "--history", payments / "history.csv")
    assert done.code == 5
    assert "missing: 'model.onnx'" in done.err
    files = {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.name not in ("MANIFEST.json", "graph.json", "parity.json")
    }
    write_files(tmp_path / "artefact", files)
    told[1] = tmp_path / "artefact"
    done = command(*told, "--history", payments / "history.csv")
    assert done.code == 5, done.err
    assert done.err.startswith(f"fintech-dl: {tmp_path / 'artefact'}: ")
    assert done.err.count("\n") == 1
    assert not hostile[1].exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "card",
    [
        b"[]",
        b"{}",
        b'{"pipeline": 3, "dataset": {}}',
        b'{"pipeline": {"card": {"title": 3}, "name": "x"}}',
        b'{"pipeline": {"card": {"source": {"use": "os.system"}}, "name": "../x"}}',
    ],
)
def test_cards_that_are_none(card, sound, payments, tmp_path, command):
    write_files(tmp_path / "artefact", {**sound, "cards.json": card})
    done = command("score", tmp_path / "artefact", payments / "new.csv", "-o", tmp_path / "out")
    assert done.code == 5, done.err
    assert "its pipeline card cannot be used" in done.err
    assert not (tmp_path / "out").exists()


def test_a_card_that_names_other_code_than_ours(sound, payments, tmp_path, command):
    cards = json.loads(sound["cards.json"])
    for use in ("os.system", "../../evil", "transactions.__builtins__", "transactions.np.fromfile"):
        cards["pipeline"]["card"]["table"] = {"use": use, "command": f"touch {tmp_path}/ran"}
        folder = tmp_path / f"artefact{len(list(tmp_path.iterdir()))}"
        write_files(folder, {**sound, "cards.json": json.dumps(cards).encode()})
        told = ["score", folder, payments / "new.csv", "-o", tmp_path / "out"]
        done = command(*told, "--history", payments / "history.csv")
        assert done.code in (2, 5), done.err
        assert "not foreseen" not in done.err
        assert not (tmp_path / "out").exists()
        assert not (tmp_path / "ran").exists()


def others(path: Path):
    """Yield ways to put something else in the place of a file."""
    data = path.read_bytes()
    other = path.parent.parent / "other"
    other.write_bytes(data)
    yield "link", lambda: path.symlink_to(other)
    yield "folder", path.mkdir
    yield "pipe", lambda: os.mkfifo(path)
    if os.geteuid() == 0:
        yield "device", lambda: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


@pytest.mark.parametrize("name", ["MANIFEST.json", "model.onnx", "graph.json", "parity.json"])
def test_what_is_no_plain_file(name, sound, payments, tmp_path, command):
    write_files(tmp_path / "artefact", sound)
    path = tmp_path / "artefact" / name
    told = ["score", tmp_path / "artefact", payments / "new.csv", "-o", tmp_path / "out"]
    for kind, make in others(path):
        path.unlink() if path.is_file() else None
        try:
            make()
        except PermissionError:
            assert kind == "device"  # not every container may make one
            continue
        done = command(*told)
        assert done.code == 5, (kind, done.err)
        assert f"{name}: is a link, a folder, a device or above" in done.err
        path.rmdir() if kind == "folder" else path.unlink()
    twin = tmp_path / "twin"
    twin.write_bytes(b"1")
    os.link(twin, path)
    done = command(*told)
    assert done.code == 5
    assert f"{name}: changed since it was saved" in done.err
    with path.open("wb") as sparse:  # no room on the disk, and all of memory if it were read
        sparse.truncate(2 * 1024**3)
    assert command(*told).code == 5
    assert not (tmp_path / "out").exists()
