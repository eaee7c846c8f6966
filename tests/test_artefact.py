"""Artefacts: what is saved comes back bit-equal, and a file that is not ours runs no code."""

import hashlib
import io
import json
import operator
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from fintech_dl import (
    CNN,
    GRU,
    LSTM,
    MLP,
    RNN,
    Autoencoder,
    Network,
    NeuralClassifier,
    NeuralDetector,
    NeuralEncoder,
    NeuralRegressor,
    hyperparameters,
    load,
    save,
)
from fintech_dl.artefact import (
    installed_versions,
    read_files,
    read_record,
    read_sealed,
    scorer,
    to_bytes,
    to_files,
)
from fintech_dl.errors import ArtefactError, OutputError, UsageError
from fintech_dl.evaluation.baselines import score_rows, with_preprocessing
from fintech_dl.evaluation.calibration import CalibratedClassifier

FAST = {"epochs": 1, "random_state": 0}


@hyperparameters
class Widest(Network):
    """A network of the user's own."""

    units: int = 4

    def __call__(self, inputs):
        import keras

        return keras.layers.Dense(self.units, activation="relu")(inputs)


def rows():
    random = np.random.default_rng(0)
    X = pd.DataFrame(random.normal(size=(120, 3)), columns=["amount", "age", "income"])
    X.loc[::7, "income"] = np.nan
    X["country"] = pd.Categorical(random.choice(["BE", "FR", "NL"], 120))
    return X, (X["amount"] + random.normal(size=120) > 0).astype(int)


def parameters(model):
    return re.sub("0x[0-9a-f]+", "somewhere", repr(model))


def columns():
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include="number")),
            ("countries", OneHotEncoder(sparse_output=False), ["country"]),
        ]
    )


def calibrated(method, model):
    X, y = rows()
    return CalibratedClassifierCV(FrozenEstimator(model.fit(X, y)), method=method)


def beta(model):
    X, y = rows()
    return CalibratedClassifier(FrozenEstimator(model.fit(X, y)), method="beta", prior=0.1)


def lightgbm():
    return pytest.importorskip("lightgbm").LGBMClassifier(n_estimators=3, verbose=-1)


MODELS = {
    "classifier on a frame": lambda: NeuralClassifier(network=MLP(units=4), **FAST),
    "classifier": lambda: make_pipeline(columns(), NeuralClassifier(network=GRU(units=4), **FAST)),
    "regressor": lambda: make_pipeline(columns(), NeuralRegressor(network=CNN(filters=4), **FAST)),
    "detector": lambda: make_pipeline(columns(), NeuralDetector(network=LSTM(units=4), **FAST)),
    "encoder as a step": lambda: make_pipeline(
        columns(), NeuralEncoder(network=Autoencoder(units=4, code=2), **FAST), LogisticRegression()
    ),
    "rnn": lambda: make_pipeline(columns(), NeuralRegressor(network=RNN(units=4), **FAST)),
    "temperature": lambda: calibrated(
        "temperature", NeuralClassifier(network=MLP(units=4), **FAST)
    ),
    "sigmoid": lambda: calibrated("sigmoid", make_pipeline(columns(), LogisticRegression())),
    "isotonic": lambda: calibrated("isotonic", make_pipeline(columns(), LogisticRegression())),
    "beta": lambda: beta(NeuralClassifier(network=MLP(units=4), **FAST)),
    "beta of probabilities": lambda: beta(
        with_preprocessing(RandomForestClassifier(20, min_samples_leaf=9, random_state=0))
    ),
    "gradient boosting": lambda: with_preprocessing(HistGradientBoostingClassifier(max_iter=3)),
    "forest": lambda: with_preprocessing(RandomForestClassifier(3, random_state=0)),
    "isolation forest": lambda: with_preprocessing(IsolationForest(n_estimators=3)),
    "stacking": lambda: make_pipeline(
        columns(), StackingClassifier([("one", LogisticRegression())], cv=2)
    ),
    "lightgbm": lambda: with_preprocessing(lightgbm()),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_bit_equal(name, tmp_path):
    X, y = rows()
    model = MODELS[name]().fit(X, y)
    folder = save(model, tmp_path / "artefact")
    back = load(folder)
    assert score_rows(back, X).tobytes() == score_rows(model, X).tobytes()
    assert parameters(back) == parameters(model)
    again = save(back, tmp_path / "again")
    assert score_rows(load(again), X[:5]).tobytes() == score_rows(model, X[:5]).tobytes()


def test_what_cannot_be_written_is_said(tmp_path):
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        routed = LogisticRegression().set_fit_request(sample_weight=True)
        with pytest.raises(
            ArtefactError, match=r"cannot be saved \(maximum recursion .*fit_request"
        ):
            save(routed, tmp_path / "artefact")
    assert not (tmp_path / "artefact").exists()


@pytest.fixture
def artefact(tmp_path):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit([[0.0], [1.0]], [0, 1])
    return save(model, tmp_path / "artefact", records={"cards": {"title": "Fraud: é", "n": 3}})


def test_what_is_in_the_folder(artefact):
    names = ["MANIFEST.json", "cards.json", "model.skops"]
    assert sorted(path.name for path in artefact.iterdir()) == names
    manifest = json.loads((artefact / "MANIFEST.json").read_text())
    assert manifest["versions"].items() >= installed_versions().items()
    assert {"fintech-dl", "numpy", "scikit-learn", "skops"} <= installed_versions().keys()
    for name, entry in manifest["files"].items():
        data = (artefact / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    assert read_sealed(artefact).seal == manifest["seal"]
    assert read_record(artefact, "cards") == {"title": "Fraud: é", "n": 3}
    with pytest.raises(ArtefactError, match="holds no record 'metrics'"):
        read_record(artefact, "metrics")


GRAPH = ["graph.json", "model.onnx", "parity.json"]


@pytest.fixture(scope="module")
def neural(tmp_path_factory):
    """A classifier behind scikit-learn's steps, and the folder it was saved in."""
    X, y = rows()
    model = make_pipeline(columns(), NeuralClassifier(network=MLP(units=4), **FAST)).fit(X, y)
    return model, save(model, tmp_path_factory.mktemp("neural") / "artefact")


@pytest.fixture
def graphed(neural, tmp_path):
    """A copy of a folder with a graph, to be tampered with."""
    return Path(shutil.copytree(neural[1], tmp_path / "graphed"))


def test_a_neural_model_is_saved_with_a_graph_and_its_proof(neural):
    model, folder = neural
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["MANIFEST.json", *GRAPH[:2], "model.skops", GRAPH[2]]
    files = read_files(folder)
    record, parity = (json.loads(files[name]) for name in ("graph.json", "parity.json"))
    assert record["kind"] == "classifier"
    assert record["steps"] == ["ColumnTransformer"]
    assert parity["passed"] is True
    assert parity["rows"] == 10_000
    assert parity["of"] == "probabilities"
    assert parity["max_rel"] <= parity["tolerance"] == 1e-5
    assert parity["versions"].keys() >= {"onnx", "tf2onnx", "onnxruntime", "keras"}
    for name in ("graph.json", "model.onnx"):
        assert parity["sha256"][name] == hashlib.sha256(files[name]).hexdigest()
    X, _ = rows()
    found = scorer(files, folder)(X)
    np.testing.assert_allclose(found, score_rows(model, X), rtol=0, atol=1e-6)
    assert scorer(files, folder, model)(X).tobytes() == found.tobytes()
    assert scorer(files, folder)(X[3:4]).tobytes() == found[3:4].tobytes()


def test_the_files_of_a_model_can_be_made_once_and_saved_later(neural, tmp_path):
    model, _ = neural
    files = to_files(model)
    folder = save(None, tmp_path / "later", files=files, records={"cards": {"n": 1}})
    assert read_files(folder).items() >= files.items()
    X, _ = rows()
    expected = scorer(files, model=model)(X)
    assert scorer(read_files(folder), folder)(X).tobytes() == expected.tobytes()
    assert score_rows(load(folder), X).tobytes() == score_rows(model, X).tobytes()
    with pytest.raises(UsageError, match="record name 'graph'"):
        save(model, tmp_path / "new", records={"graph": {}}, files=files)


def test_other_models_have_no_graph(tmp_path):
    X, y = rows()
    for model in (LogisticRegression(), NeuralClassifier(network=MLP(units=4), **FAST)):
        ends_with_it = make_pipeline(columns(), model) if model.__module__[0] == "s" else None
        found = ends_with_it or StackingClassifier([("one", model)], cv=2)
        found.fit(X[["amount", "age"]].fillna(0) if ends_with_it is None else X, y)
        assert list(to_files(found)) == ["model.skops"]


def resealed(folder, **changed):
    """Put other bytes in place of files, None for none, with digests and a seal that fit."""
    files = json.loads((folder / "MANIFEST.json").read_text())["files"]
    for name, data in changed.items():
        name = name.replace("_", ".")
        files.pop(name, None)
        (folder / name).unlink(missing_ok=True)
        if data is not None:
            (folder / name).write_bytes(data)
            files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    return sealed(folder, files=files)


def test_a_graph_that_is_not_proven_is_refused(graphed, neural, tmp_path):
    X, y = rows()
    other = make_pipeline(columns(), NeuralClassifier(network=MLP(units=3), **FAST)).fit(X, y)
    theirs = to_files(other)
    own = {path.name: path.read_bytes() for path in graphed.iterdir()}
    parity = json.loads(own["parity.json"])
    no_json = b"{not json"
    changed_record = own["graph.json"].replace(b'"MLP"', b'"GRU"')
    told = {
        "holds no parity.json; copy": {"parity_json": None},
        "parity.json does not say that model.onnx gives": {
            "parity_json": json.dumps({**parity, "passed": False}).encode()
        },
        "the proof of another model.onnx": {"model_onnx": theirs["model.onnx"]},
        "the proof of another graph.json": {"graph_json": changed_record},
        "holds no model.onnx": {"model_onnx": None},
        "holds no graph.json": {"graph_json": None},
        "parity.json cannot be read": {"parity_json": no_json},
        "graph.json cannot be read": {"graph_json": no_json},
        "expected a record of format 1": {
            "parity_json": json.dumps({**parity, "format": 2}).encode()
        },
        "is refused: it is no ONNX file": {
            "model_onnx": b"MZ",
            "parity_json": json.dumps(
                {**parity, "sha256": {**parity["sha256"], "model.onnx": sha256_of(b"MZ")}}
            ).encode(),
        },
    }
    for text, changed in told.items():
        for name, data in own.items():
            (graphed / name).write_bytes(data)
        files = read_files(resealed(graphed, **changed))
        with pytest.raises(ArtefactError, match=re.escape(text)) as error:
            scorer(files, graphed)
        assert str(error.value).startswith(str(graphed))
        assert error.value.exit_code == 5
        load(graphed)  # whoever retrains does without the graph
    both = {"graph_json": theirs["graph.json"], "model_onnx": theirs["model.onnx"]}
    for name, data in own.items():
        (graphed / name).write_bytes(data)
    with pytest.raises(ArtefactError, match="the proof of another"):
        scorer(read_files(resealed(graphed, **both)), graphed)


def sha256_of(data):
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", GRAPH)
def test_any_changed_byte_of_a_graph_is_refused(graphed, name):
    path = graphed / name
    data = path.read_bytes()
    for at in range(0, len(data), max(1, len(data) // 20)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1 :])
        with pytest.raises(ArtefactError, match=f"{name}: changed since it was saved"):
            read_files(graphed)


def test_scoring_with_a_graph_imports_neither_keras_nor_a_backend(neural, tmp_path):
    X, _ = rows()
    X.to_parquet(tmp_path / "X.parquet")
    code = (
        "import sys, pandas as pd\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('keras', 'tensorflow', 'jax', 'onnx', 'tf2onnx'):\n"
        "            raise ImportError('must not be imported: ' + name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from fintech_dl.artefact import read_files, scorer\n"
        "scores = scorer(read_files(sys.argv[1]))(pd.read_parquet(sys.argv[2]))\n"
        "print(scores.tobytes().hex())\n"
    )
    words = [sys.executable, "-c", code, str(neural[1]), str(tmp_path / "X.parquet")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = scorer(read_files(neural[1]))(X)
    assert bytes.fromhex(done.stdout) == expected.tobytes()


def test_nothing_that_is_there_is_overwritten(artefact, tmp_path):
    before = (artefact / "MANIFEST.json").read_bytes()
    with pytest.raises(OutputError, match="is not empty; choose a new folder"):
        save(DummyClassifier(), artefact)
    assert (artefact / "MANIFEST.json").read_bytes() == before
    with pytest.raises(OutputError, match=r"cannot be written \(Not a directory\)"):
        save(DummyClassifier(), artefact / "model.skops" / "inside")
    with pytest.raises(UsageError, match=r"record name '\.\./evil': letters, digits and _ only"):
        save(DummyClassifier(), tmp_path / "new", records={"../evil": {}})
    assert not (tmp_path / "new").exists()


def test_half_an_artefact_does_not_load(tmp_path, monkeypatch):
    from fintech_dl import sealed

    def full(path):
        if path.name == "MANIFEST.json":
            raise OSError(28, "No space left on device")
        return replacing(path)

    replacing = sealed.replacing
    monkeypatch.setattr(sealed, "replacing", full)
    with pytest.raises(OutputError, match="No space left on device"):
        save(DummyClassifier(), tmp_path / "artefact")
    with pytest.raises(ArtefactError, match=r"is no artefact \(there is no MANIFEST.json\)"):
        load(tmp_path / "artefact")


@pytest.mark.parametrize("name", ["MANIFEST.json", "cards.json", "model.skops"])
def test_any_changed_byte_is_refused(artefact, name):
    path = artefact / name
    data = path.read_bytes()
    for at in [*range(0, len(data), max(1, len(data) // 40)), len(data) - 1]:
        for mask in (1, 0x20, 0x80):
            path.write_bytes(data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :])
            with pytest.raises(ArtefactError, match=f"{name}: changed since it was saved"):
                load(artefact)
    for changed in (data + b" ", data[:-1], b""):
        path.write_bytes(changed)
        with pytest.raises(ArtefactError, match=f"{name}: changed since it was saved"):
            load(artefact)
    path.write_bytes(data)
    load(artefact)


def test_files_missing_and_added(artefact, tmp_path):
    (artefact / "extra.py").write_text("1")
    with pytest.raises(ArtefactError, match=r"not of this artefact: 'extra.py'. Copy the artefact"):
        load(artefact)
    (artefact / "cards.json").unlink()
    with pytest.raises(ArtefactError, match=r"missing: 'cards.json'; not of this .* 'extra.py'"):
        load(artefact)
    for folder in (tmp_path, tmp_path / "nowhere", artefact / "model.skops"):
        with pytest.raises(ArtefactError, match="is no artefact"):
            load(folder)


@pytest.mark.parametrize("name", ["MANIFEST.json", "cards.json", "model.skops"])
def test_links_folders_and_devices_are_no_files(artefact, tmp_path, name):
    path = artefact / name
    path.rename(tmp_path / "elsewhere")
    told = f"{name}: is a link, a folder, a device or above 2 GiB, not a plain file"
    for make in (
        lambda: path.symlink_to(tmp_path / "elsewhere"),
        path.mkdir,
        lambda: os.mkfifo(path),  # reading one would wait for ever
        lambda: path.symlink_to("/dev/zero"),
    ):
        make()
        with pytest.raises(ArtefactError, match=told):
            load(artefact)
        path.rmdir() if path.is_dir() else path.unlink()


def sealed(folder: Path, **changes) -> Path:
    """Write a manifest with the changes and the seal that fits, as whoever means harm would."""
    path = folder / "MANIFEST.json"
    manifest = {**json.loads(path.read_text()), **changes}
    manifest.pop("seal")

    def dump(value):
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
        return (text + "\n").encode()

    manifest["seal"] = hashlib.sha256(dump(manifest)).hexdigest()
    path.write_bytes(dump(manifest))
    return folder


def with_model(folder: Path, data: bytes) -> Path:
    """Put other bytes in place of the model, with the digests that fit."""
    (folder / "model.skops").write_bytes(data)
    files = json.loads((folder / "MANIFEST.json").read_text())["files"]
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    return sealed(folder, files={**files, "model.skops": entry})


def test_a_manifest_made_by_hand_must_be_whole(artefact):
    files = json.loads((artefact / "MANIFEST.json").read_text())["files"]
    model = files["model.skops"]
    load(sealed(artefact, files=files))
    for name in ("../passwd", "/etc/passwd", "sub/file", "..", ".", ""):
        with pytest.raises(ArtefactError, match=r"changed since it was saved|missing: "):
            load(sealed(artefact, files={**files, name: model}))
    told = {
        "it lists no model.skops": {"cards.json": files["cards.json"]},
        "file 'model.skops'": {**files, "model.skops": {"bytes": 3}},
        "file 'cards.json'": {**files, "cards.json": {**model, "url": "http://x"}},
        "": [],
    }
    for text, wrong in told.items():
        with pytest.raises(ArtefactError, match=f"MANIFEST.json: changed since .*{text}"):
            load(sealed(artefact, files=wrong))
    with pytest.raises(ArtefactError, match="is of format 2, this version of fintech_dl reads 1"):
        load(sealed(artefact, files=files, format=2))
    for text in ("[]", "{", "3", "null", "[" * 100_000, '{"files": {}}'):
        (artefact / "MANIFEST.json").write_text(text)
        with pytest.raises(ArtefactError, match="changed since it was saved"):
            load(artefact)


def test_a_record_that_is_no_json_is_refused(artefact):
    data = b"{not json"
    (artefact / "cards.json").write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    files = json.loads((artefact / "MANIFEST.json").read_text())["files"]
    sealed(artefact, files={**files, "cards.json": entry})
    with pytest.raises(ArtefactError, match=r"cards\.json cannot be read"):
        read_record(artefact, "cards")


class Planted:
    """Code that must never run."""

    ran = False

    def __setstate__(self, state):
        Planted.ran = True

    def __init__(self):
        self.x = 1


HOSTILE = {
    "a class of its own": Planted,
    "a shell command in a transformer": lambda: FunctionTransformer(os.system),
    "eval in a transformer": lambda: FunctionTransformer(eval),
    "a method caller": lambda: FunctionTransformer(operator.methodcaller("unlink")),
    "a function of our own": lambda: FunctionTransformer(save),
    "scikit-learn's own loader": lambda: FunctionTransformer(skops.io.load),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_foreign_type_is_refused_and_does_not_run(artefact, name, tmp_path):
    data = skops.io.dumps(HOSTILE[name]())
    Planted.ran = False
    with pytest.raises(ArtefactError, match="holds types that are not trusted: "):
        load(with_model(artefact, data))
    assert not Planted.ran
    with pytest.raises(ArtefactError, match="holds types that are not trusted: "):
        save(HOSTILE[name](), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_file_that_names_other_code_than_it_was_saved_with_is_refused(artefact):
    data = (artefact / "model.skops").read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    schema = parts["schema.json"].decode()
    assert '"LogisticRegression"' in schema
    swaps = [
        ('"LogisticRegression"', '"Popen"'),
        ('"sklearn.linear_model._logistic"', '"subprocess"'),
        ('"ObjectNode"', '"ReduceNode"'),
        ('"ObjectNode"', '"NoNode"'),
    ]
    for old, new in swaps:
        box = io.BytesIO()
        with zipfile.ZipFile(box, "w") as changed:
            for name, part in {**parts, "schema.json": schema.replace(old, new).encode()}.items():
                changed.writestr(name, part)
        with pytest.raises(ArtefactError, match=r"not trusted|cannot be read|cannot be loaded"):
            load(with_model(artefact, box.getvalue()))
    for junk in (b"", b"PK", data[: len(data) // 2], b"\x80\x04cos\nsystem\n"):
        with pytest.raises(ArtefactError, match=r"model\.skops cannot be read"):
            load(with_model(artefact, junk))


def test_a_network_of_one_s_own_is_saved_and_loaded_by_name(tmp_path):
    X, y = rows()
    model = NeuralClassifier(network=Widest(units=3), **FAST).fit(X, y)
    name = f"{Widest.__module__}.Widest"
    told = rf"not trusted: {name}. Do not use it, .* save\(..., trust=\[...\]\) and load"
    with pytest.raises(ArtefactError, match=told):
        save(model, tmp_path / "refused")
    folder = save(model, tmp_path / "own", trust=[name])
    with pytest.raises(ArtefactError, match=told):
        load(folder)
    back = load(folder, trust=[name])
    assert back.network.units == 3
    assert score_rows(back, X).tobytes() == score_rows(model, X).tobytes()


def test_a_type_that_is_not_on_the_list_is_refused_when_saving(tmp_path):
    model = KNeighborsClassifier(algorithm="kd_tree").fit(np.zeros((9, 1)), [0, 1, 1] * 3)
    with pytest.raises(ArtefactError, match=r"KNeighborsClassifier: the model .*KDTree"):
        to_bytes(model)


def test_loading_needs_no_keras(tmp_path):
    X, y = rows()
    model = NeuralClassifier(network=MLP(units=4), **FAST).fit(X, y)
    folder = save(model, tmp_path / "artefact")
    code = (
        "import sys; from fintech_dl import load; model = load(sys.argv[1]); "
        "print(len(model.weights_), {'keras', 'tensorflow', 'jax'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
    assert done.stdout == f"{len(model.weights_)} set()\n", done.stderr
