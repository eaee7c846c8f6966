"""Refuse an ONNX file that holds more than numbers and standard operators, before anything runs it.

ONNX is data, but a file may name other files to read numbers from, or operators of foreign
libraries. Ours never do. The file is a protocol buffer: fields of a number, a kind and a value.
"""

from __future__ import annotations

from collections.abc import Iterator

LARGEST = 512 * 1024**2
DEEPEST = 16
STANDARD = (b"", b"ai.onnx")
PARTS: dict[str, dict[int, str]] = {  # which fields of a message are messages to look into
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
}
REFUSED = {
    ("model", 20): "training steps",
    ("model", 25): "functions of its own",
    ("graph", 15): "sparse numbers",
    ("attribute", 22): "sparse numbers",
    ("attribute", 23): "sparse numbers",
    ("tensor", 13): "numbers that are in another file",
}


def check_onnx(data: bytes) -> None:
    """Raise ValueError, saying what was found, unless the file is plain.

    Examples
    --------
    >>> from fintech_dl.estimators.onnx_file import check_onnx
    >>> check_onnx(b"MZ not a model")
    Traceback (most recent call last):
    ...
    ValueError: it is no ONNX file
    """
    if len(data) > LARGEST:
        raise ValueError(f"it has {len(data):,} bytes, allowed: {LARGEST:,}")
    if not any(number == 7 for number, _ in _fields(memoryview(data))):
        raise ValueError("it is no ONNX file")
    _check("model", memoryview(data), 0)


def _check(kind: str, message: memoryview, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"its graphs are nested more than {DEEPEST} deep")
    for number, value in _fields(message):
        if (kind, number) in REFUSED:
            raise ValueError(f"it holds {REFUSED[kind, number]}")
        if kind == "tensor" and number == 14 and value:
            raise ValueError("it holds numbers that are in another file")
        if kind == "node" and number == 7 and bytes(_message(value)) not in STANDARD:
            raise ValueError(f"it uses an operator of {bytes(_message(value))[:40]!r}")
        if part := PARTS.get(kind, {}).get(number):
            _check(part, _message(value), depth + 1)


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("it is no ONNX file")
    return value


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field: a whole number, or bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(message, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError("it is no ONNX file")
        if at + size > len(message):
            raise ValueError("it is no ONNX file")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it is no ONNX file")
