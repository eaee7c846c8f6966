"""Refuse an ONNX file that holds more than numbers and standard operators, before anything runs it.

ONNX is data, but a file may name other files to read numbers from, operators of foreign libraries,
or loops without an end. Ours never do. The file is a protocol buffer: fields of a number, a kind
and a value.
"""

from __future__ import annotations

from collections.abc import Iterator

LARGEST = 512 * 1024**2
DEEPEST = 16
MOST_STEPS = 10_000  # of a loop: those of a window
INT64 = 7
# What the export writes of every network here, of every activation, and of the layers and functions
# of Keras that a network of one's own is usually made of. All of them end; a loop is counted.
OPERATORS = frozenset(
    b"""Abs Add And Atan Cast Clip Concat ConstantOfShape Conv ConvTranspose Cos CumSum Div Elu
    Equal Erf Exp Expand Floor Gather GatherND Greater Identity IsInf IsNaN LSTM LeakyRelu Less
    LessOrEqual Log LogSoftmax Loop MatMul Max MaxPool Min Mod Mul Neg Not OneHot Or Pad Pow Range
    Reciprocal ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape ReverseSequence
    Round Selu Shape Sigmoid Sign Sin Sinh Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub
    Tan Tanh Tile TopK Transpose Unsqueeze Where""".split()
)
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
    if sum(number == 7 for number, _ in _fields(memoryview(data))) != 1:  # two would be merged
        raise ValueError("it is no ONNX file")
    _check("model", memoryview(data), 0)


def _check(kind: str, message: memoryview, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"its graphs are nested more than {DEEPEST} deep")
    if kind == "graph":
        _check_operators(message, outermost=depth == 1)
    for number, value in _fields(message):
        if (kind, number) in REFUSED:
            raise ValueError(f"it holds {REFUSED[kind, number]}")
        if kind == "tensor" and number == 14 and value:
            raise ValueError("it holds numbers that are in another file")
        if kind == "node" and number == 7 and bytes(_message(value)) not in STANDARD:
            raise ValueError(f"it uses an operator of {bytes(_message(value))[:40]!r}")
        if part := PARTS.get(kind, {}).get(number):
            _check(part, _message(value), depth + 1)


def _check_operators(graph: memoryview, *, outermost: bool) -> None:
    """Refuse operators that ours never use, and loops whose number of steps is not written down."""
    parts = [(number, value) for number, value in _fields(graph) if number in PARTS["graph"]]
    numbers = [_integer(_message(value)) for number, value in parts if number == 5]
    for number, value in parts:
        if number != 1:
            continue
        fields = list(_fields(_message(value)))
        for name in (bytes(_message(text)) for field, text in fields if field == 4):
            if name not in OPERATORS:
                raise ValueError(f"it uses the operator {name[:40]!r}, which ours never do")
            if name != b"Loop":
                continue
            first = next((bytes(_message(text)) for field, text in fields if field == 1), b"")
            steps = [count for known, count in numbers if known == first]
            if not outermost or not steps or not all(0 <= n <= MOST_STEPS for n in steps):
                raise ValueError(
                    "it loops in another way than ours do, a number of steps that is written down, "
                    f"up to {MOST_STEPS:,}"
                )


def _integer(tensor: memoryview) -> tuple[bytes, int]:
    """Return name and value of a tensor that is one whole number; -1 for any other tensor."""
    name, kind, found, several = b"", 0, [], False
    for number, value in _fields(tensor):
        if number == 1:  # a size per dimension: none, or of one number
            several |= value != 1 if isinstance(value, int) else {*bytes(value)} - {1} != set()
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 7 and isinstance(value, int):
            found.append(value)
        elif number == 7 and isinstance(value, memoryview):
            first, end = _varint(value, 0)
            found.append(first if end == len(value) else -1)
        elif number == 8:
            name = bytes(_message(value))
        elif number == 9 and isinstance(value, memoryview):
            found.append(int.from_bytes(value, "little") if len(value) == 8 else -1)
    one = kind == INT64 and not several and len(found) == 1
    return name, found[0] if one else -1


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
