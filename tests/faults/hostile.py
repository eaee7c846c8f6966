"""Files that somebody made to do harm: archives, Keras models, graphs. None needs Keras to make."""

import io
import json
import struct
import zipfile
from collections.abc import Callable

import numpy as np
from onnx import TensorProto, helper

from tests.bad_input.test_hostile_artefacts import (
    MODELS,
    endless,
    graph,
    huge,
    number,
    oversize,
    repacked,
)

FLOAT = TensorProto.FLOAT
OF_SKOPS = ("loader that is none", "method of a module", "shell", "partial", "eval")


# ---- 19 -----------------------------------------------------------------------------------------


def with_part(name: str, data: bytes = b"1", **about: int) -> Callable[[bytes], bytes]:
    """Add a part, of which the directory says this."""

    def change(model: bytes) -> bytes:
        box = io.BytesIO(model)
        with zipfile.ZipFile(box, "a") as archive:
            info = zipfile.ZipInfo(name)
            for key, value in about.items():
                setattr(info, key, value)
            archive.writestr(info, data)
        return box.getvalue()

    return change


def patched(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda model: model.replace(old, new)


def method(model: bytes) -> bytes:
    """Say of every part that it is packed in a way that nobody knows."""
    data = bytearray(model)
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = 0
        while (start := data.find(mark, start)) >= 0:
            data[start + at : start + at + 2] = struct.pack("<H", 99)
            start += 4
    return bytes(data)


def encrypted(model: bytes) -> bytes:
    data = bytearray(model)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = 0
        while (start := data.find(mark, start)) >= 0:
            data[start + at] |= 1
            start += 4
    return bytes(data)


def many(model: bytes) -> bytes:
    box = io.BytesIO(model)
    with zipfile.ZipFile(box, "a") as archive:
        for i in range(20_000):
            archive.writestr(f"{i}", b"")
    return box.getvalue()


def nested(model: bytes) -> bytes:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.npy", bytes(2**26))
    return with_part("more.zip", inner.getvalue())(model)


def far_directory(model: bytes) -> bytes:
    """Let the directory begin behind the end of the file."""
    data = bytearray(model)
    at = data.rfind(b"PK\x05\x06")
    data[at + 16 : at + 20] = struct.pack("<I", 2**31)
    return bytes(data)


def bits_of_a_part(model: bytes) -> bytes:
    """Change a packed byte: the check sum of the part no longer fits."""
    data = bytearray(model)
    at = data.find(b"PK\x03\x04")
    skip = 30 + sum(struct.unpack("<HH", data[at + 26 : at + 30]))
    data[at + skip + 2] ^= 0x10
    return bytes(data)


ARCHIVES = {name: change for name, (change, _) in MODELS.items() if name not in OF_SKOPS}
ARCHIVES |= {
    "link": with_part("link.npy", b"/etc/passwd", external_attr=0o120777 << 16),
    "folder": with_part("more/"),
    "parent": with_part(".."),
    "drive": with_part("C:\\evil.npy"),
    "long name": with_part("n" * 60_000),
    "many parts": many,
    "archive in archive": nested,
    "encrypted": encrypted,
    "unknown packing": method,
    "directory elsewhere": far_directory,
    "program before it": lambda model: b"MZ" + bytes(1000) + model,
    "half": lambda model: model[: len(model) // 2],
    "another archive": lambda model: repacked(b"PK\x05\x06" + bytes(18)) + model,
    "changed part": bits_of_a_part,
}

# ---- 20 -----------------------------------------------------------------------------------------


def layer(name: str, module: str, config: dict, **more: object) -> dict:
    return {"class_name": name, "module": module, "config": config, "registered_name": None, **more}


def keras_file(marker: str, **inside: dict) -> bytes:
    """Return a ``.keras`` file: an archive of two records and of weights."""
    say = f"touch {marker}"
    made = {
        "lambda": layer(
            "Lambda",
            "keras.layers",
            {
                "function": {
                    "class_name": "__lambda__",
                    "config": {"code": "4wAAAAAAAAAA", "defaults": None, "closure": None},
                }
            },
        ),
        "gadget": layer("system", "os", {"command": say}),
        "popen": layer("Popen", "subprocess", {"args": say, "shell": True}),
        "unsafe": layer("enable_unsafe_deserialization", "keras.config", {}),
        "foreign model": layer(
            "TFSMLayer", "keras.layers", {"filepath": "/etc", "call_endpoint": "serve"}
        ),
        "vocabulary": layer("StringLookup", "keras.layers", {"vocabulary": "/etc/passwd"}),
        "torch": layer("TorchModuleWrapper", "keras.layers", {"module": "gASVAAAA"}),
        "own class": layer("Evil", "evil", {}, registered_name="evil>Evil"),
    }[inside["kind"]]  # type: ignore[index]
    config = layer("Sequential", "keras", {"name": "m", "layers": [made]})
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(64))
    return box.getvalue()


KERAS = (
    "lambda",
    "gadget",
    "popen",
    "unsafe",
    "foreign model",
    "vocabulary",
    "torch",
    "own class",
)
PLACES = ("model.skops", "model.onnx", "model.keras")

# ---- 22 -----------------------------------------------------------------------------------------


def outside(tensor: object) -> object:
    """Say that the numbers of a tensor are in another file."""
    tensor.ClearField("float_data")  # type: ignore[attr-defined]
    tensor.data_location = TensorProto.EXTERNAL  # type: ignore[attr-defined]
    entry = tensor.external_data.add()  # type: ignore[attr-defined]
    entry.key, entry.value = "location", "/etc/passwd"
    return tensor


def node(kind: str, **more: object) -> object:
    return helper.make_node(kind, ["x"], ["y"], **more)


def far() -> object:
    return outside(number("w", [0.0], [1], FLOAT))


def inner() -> object:
    identity = helper.make_node(
        "Identity", [], ["c"], value=outside(number("w", [0.0], [1], FLOAT))
    )
    return helper.make_graph([identity], "i", [], [])


def long_loop(width: int) -> bytes:
    """Go round 2**40 times, as is written down."""
    return endless(width, number("steps", [2**40], []))


def deep(width: int) -> bytes:
    """Nest graphs in graphs."""
    body = inner()
    for _ in range(20):
        held = helper.make_node("Identity", [], ["c"], then_branch=body)
        body = helper.make_graph([held], "i", [], [])
    return graph([node("Relu", then_branch=body)], width=width)


def foreign(domain: str) -> Callable[[int], bytes]:
    return lambda width: graph([node("Erf", domain=domain)], width=width)


GRAPHS: dict[str, Callable[[int], bytes]] = {
    "numbers of another file": lambda n: graph(
        [node("Relu")], [outside(number("w", [0.0], [1], FLOAT))], n
    ),
    "numbers of another file, within": lambda n: graph(
        [node("Relu", then_branch=inner())], width=n
    ),
    "foreign operator": foreign("com.evil"),
    "operator of the runtime": foreign("com.microsoft"),
    "unknown operator": lambda n: graph([node("Evil")], width=n),
    "branch": lambda n: graph([node("If", then_branch=inner())], width=n),
    "scan": lambda n: graph([node("Scan", body=inner())], width=n),
    "chance": lambda n: graph(
        [helper.make_node("RandomNormal", [], ["y"], shape=[1, n, 1])], width=n
    ),
    "endless loop": endless,
    "long loop": long_loop,
    "deep": deep,
    "oversize initialiser": oversize,
    "huge constant": huge,
    "other width": lambda n: graph([node("Identity")], width=n + 1),
    "other type": lambda n: graph([node("Identity")], width=n, of=TensorProto.DOUBLE),
    "no graph": lambda n: np.random.default_rng(0).bytes(4_096),
}
