"""Raw numbers of the speed benchmark as the rows of its table; and the table of the README."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from results import FOLDER, markdown_table

README = Path(__file__).parents[2] / "README.md"
MARKS = ("<!-- speed: begin -->", "<!-- speed: end -->")
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX"}
NETWORKS = {
    "mlp": "MLP 32-256-256-1, batches of 1,024, 200,000 rows",
    "lstm": "LSTM(64), windows of 30 x 8, batches of 256, 20,000 rows",
}
# how many times as fast as the rival, at least; PyTorch is to be matched on the faster backend
BARS = {
    "mlp": 0.95,
    "lstm": 1.3,
    "torch": 1.0,
    "members": 2.0,
    "predict": 0.9,
    "onnx": 1.5,
    "features": 10.0,
}
FLAT_MB = 20  # a grid search may grow by

Row = dict[str, str]
Found = Mapping[str, Mapping[str, Any]]


def seconds(value: float) -> str:
    return f"{value:.3f} s" if value < 0.995 else f"{value:.1f} s"


def versus(
    what: str,
    ours: Sequence[float],
    name: str,
    rival: Sequence[float],
    bar: str,
    rows: int = 0,
    paired: bool = True,
) -> Row:
    """Return the row of two lists of seconds; with ``rows`` they are told as rows per second.

    The ratio is of medians. In brackets the smallest and the largest of a round; where ours and the
    rival ran in processes of their own, of any two rounds.
    """

    def told(values: Sequence[float]) -> str:
        return f"{rows / median(values):,.0f} rows/s" if rows else seconds(median(values))

    ratio = median(rival) / median(ours)
    pairs = zip(rival, ours, strict=True)
    ratios = [b / a for b, a in pairs] if paired else [b / a for b in rival for a in ours]
    return {
        "what": what,
        "bar": f"{BARS[bar]:g} x rival",
        "reached": told(ours),
        "rival": f"{name}: {told(rival)}",
        "times as fast": f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        "met": "yes" if ratio >= BARS[bar] else "no",
    }


def without_bar(row: Row) -> Row:
    """Return the row of a ratio that is told and not asked for."""
    return {**row, "bar": "", "met": ""}


def absolute(what: str, value: float, limit: float, unit: str, rival: str = "") -> Row:
    """Return the row of a number that has a limit of its own; of 0: none."""
    told = seconds if unit == "s" else "{:.0f} MB".format
    return {
        "what": what,
        "bar": f"under {limit:g} {unit}" if limit else "",
        "reached": told(value),
        "rival": rival,
        "times as fast": "",
        "met": ("yes" if value < limit else "no") if limit else "",
    }


def rows(found: Found) -> list[Row]:
    """Return the table of what was measured; ``found`` maps part or part-backend to raw numbers."""
    return [*_training(found), *_members(found), *_predict(found), *_rest(found)]


def _training(found: Found) -> Iterator[Row]:
    for kind, words in NETWORKS.items():
        torch = found[f"torch_{kind}"]
        faster = min(BACKENDS, key=lambda backend: median(found[f"{kind}-{backend}"]["ours"]))
        for backend, title in BACKENDS.items():
            raw, what = found[f"{kind}-{backend}"], f"training {words}; {title}"
            rival = f"bare Keras ({raw['keras_settings']})"
            yield versus(what, raw["ours"], rival, raw["keras"], kind, raw["rows"])
            if "absent" not in torch:
                best = min(("fused", "plain"), key=lambda name: median(torch[name]))
                rival = f"PyTorch ({best} Adam, {torch['threads']} threads)"
                row = versus(
                    what, raw["ours"], rival, torch[best], "torch", raw["rows"], paired=False
                )
                asked = kind == "mlp" and backend == faster
                yield row if asked else without_bar(row)


def _members(found: Found) -> Iterator[Row]:
    for part, words in (("members", "compiled"), ("members_cold", "compiling included")):
        for backend, title in BACKENDS.items():
            raw = found[f"{part}-{backend}"]
            what = f"8 members in one fit, 20,000 x 30 rows, 20 epochs, {words}; {title}"
            yield versus(what, raw["together"], "8 fits", raw["apart"], "members")


def _predict(found: Found) -> Iterator[Row]:
    words = "MLP 30-128-64-1 on 1,000,000 rows"
    raws = {backend: found[f"predict-{backend}"] for backend in BACKENDS}
    for backend, title in BACKENDS.items():
        raw = raws[backend]
        rival = f"bare Keras (batches of {raw['keras_batch']:,})"
        what = f"decision_function, {words}; {title}"
        yield versus(what, raw["ours"], rival, raw["keras"], "predict", raw["rows"])
    best = min(raws, key=lambda backend: median(raws[backend]["keras"]))
    raw = raws[best]
    rival = f"bare Keras on {BACKENDS[best]} (batches of {raw['keras_batch']:,})"
    for threads in (1, 2):
        what = f"ONNX scores, {words}; threads: {threads}"
        yield versus(what, raw[f"onnx_{threads}"], rival, raw["keras"], "onnx", raw["rows"])


def _rest(found: Found) -> Iterator[Row]:
    raw = found["start"]
    rival = f"Python alone: {seconds(min(raw['python']))}"
    yield absolute("fintech-dl --help", min(raw["help"]), 0.5, "s", rival)
    yield absolute("fintech-dl list", min(raw["list"]), 0.5, "s", rival)
    yield absolute("import fintech_dl", min(raw["import"]), 0.2, "s", rival)
    for backend, title in BACKENDS.items():
        raw = found[f"overhead-{backend}"]
        keras = [name for name in raw if name.startswith("keras")]
        best = min(keras, key=lambda name: median(raw[name]))
        for which in ("first", "second"):
            over = [a - b for a, b in zip(raw[which], raw[best], strict=True)]
            what = f"{which} fit of an MLP on 1,000 rows beyond bare Keras; {title}"
            rival = f"{seconds(median(raw[which]))} against {seconds(median(raw[best]))}"
            yield absolute(what, median(over), 1.0, "s", f"bare Keras: {rival}")
    for backend, title in BACKENDS.items():
        raw = found[f"memory-{backend}"]
        what = f"memory that a grid search grows by from fit 10 to fit {raw['fits']}; {title}"
        told = f"{raw['after_10']:,.0f} MB to {raw['after_all']:,.0f} MB"
        row = absolute(what, raw["after_all"] - raw["after_10"], FLAT_MB, "MB")
        yield {**row, "reached": f"{row['reached']} ({told})"}
    raw = found["score"]
    limits = {"alone": ("a network alone", 1.5, 250), "steps": ("scaler and network", 4, 400)}
    for name, (words, most, peak) in limits.items():
        what = f"fintech-dl score, 1,000 rows, {words}"
        yield absolute(f"{what}: start to end", median(raw[name]), most, "s")
        yield absolute(f"{what}: peak memory", max(raw["peak_mb"][name]), peak, "MB")


def newest(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """Return the newest result of a benchmark, empty if there is none."""
    paths = sorted(folder.glob(f"{name}_????-??-??.json"))
    return json.loads(paths[-1].read_text(encoding="utf-8")) if paths else {"rows": []}


def readme_table(folder: Path = FOLDER) -> str:
    """Return the table of speed, made of the newest results."""
    lines = list(newest("speed", folder)["rows"])
    for row in newest("card_features", folder)["rows"]:
        if "pandas seconds" in row:
            what = f"{row['what']}, 1,754,155 transactions"
            ours, rival = [row["seconds"]], [row["pandas seconds"]]
            line = versus(what, ours, "pandas", rival, "features")
            lines.append({**line, "times as fast": f"{row['times faster']:.1f}"})
    return "\n".join(markdown_table(lines))


def put(text: str, table: str, marks: tuple[str, str] = MARKS) -> str:
    """Return a text with the table between its two marks."""
    before, begin, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise SystemExit(f"README.md lacks the lines {marks[0]} and {marks[1]}")
    return f"{before}{begin}\n{table}\n{end}{after}"
