import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from fintech_dl.cards import Range, dataset_card, duration, names, nearest, pipeline_card
from fintech_dl.errors import CardError
from fintech_dl.folders import shipped

DATASET = """
title = "Payments"
licence = "own"
[source]
kind = "file"
path = "payments.csv"
[contract]
key = "id"
time = "at"
labels = ["fraud"]
[columns]
id = { type = "integer" }
at = { type = "datetime" }
amount = { type = "number", min = 0, max = 10 }
fraud = { type = "integer", allowed = [0, 1] }
"""

PIPELINE = """
title = "Fraud"
question = "Which payment is fraud?"
dataset = "payments"
history = "37d"
table = { use = "transactions.card_history" }
baseline = [{ use = "sklearn.linear_model.LogisticRegression" }]
[split]
kind = "prequential"
train = "7d"
[[step]]
name = "scale"
use = "sklearn.preprocessing.StandardScaler"
[[step]]
name = "model"
use = "fintech_dl.NeuralClassifier"
[test]
dataset = "payments"
split = { train = "3d" }
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder of the user's own cards, payments.toml and fraud.toml side by side."""
    monkeypatch.setenv("FINTECH_DL_CARDS", str(tmp_path))
    (tmp_path / "payments.toml").write_text(DATASET)
    (tmp_path / "mine.toml").write_text(PIPELINE)
    return tmp_path


def validating(keys: str) -> str:
    """Return a [validation] with these keys, before the [test] of the card."""
    return f"[validation]\n{keys}\n[test]"


def spaced(values: str, method: str = "random") -> str:
    return f"[search]\nmethod = '{method}'\nspace = {{ a__b = {values} }}\n[test]"


def forecasting(keys: str = "", metrics: str = "['qlike']", kind: str = "volatility") -> str:
    """Return a [forecast] with these keys, and its metrics, before the [split] of the card."""
    return f"metrics = {metrics}\n[forecast]\nkind = '{kind}'\n{keys}\n[split]"


def changed(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize("name", [p.stem for p in shipped("datasets").glob("*.toml")])
def test_shipped_dataset_cards_parse(name):
    card = dataset_card(name)
    assert card.name == name
    assert card.title
    assert card.licence
    assert card.origin
    assert card.limits
    assert card.description
    assert card.source.kind == "synthetic" or card.source.sha256


def test_a_dataset_card_may_be_like_another(mine):
    own = '[source]\nkind = "synthetic"\nuse = "stand_in"\n'
    like = 'title = "Made up"\nlicence = "own"\nlike = "payments"\n' + own
    (mine / "copy.toml").write_text(like)
    copy, real = dataset_card("copy"), dataset_card("payments")
    assert (copy.columns, copy.contract) == (real.columns, real.contract)
    assert (copy.title, copy.source.use, copy.like) == ("Made up", "stand_in", "payments")
    (mine / "copy.toml").write_text(like + '[contract]\nkey = "at"\n')
    assert dataset_card("copy").contract.key == "at"
    changed(mine / "copy.toml", '"payments"', '"payment"')
    with pytest.raises(CardError, match=r"unknown dataset 'payment'; did you mean 'payments'\?"):
        dataset_card("copy")


@pytest.mark.parametrize("name", [p.stem for p in shipped("pipelines").glob("*.toml")])
def test_shipped_pipeline_cards_parse(name):
    card = pipeline_card(name)
    assert card.name == name
    assert card.question.endswith("?")
    assert card.dataset in names("datasets")
    assert card.test is None or card.test.dataset in names("datasets")


def test_a_card_is_read_whole(mine):
    card = pipeline_card("mine")
    assert (card.name, card.folder) == ("mine", mine)
    assert (card.split.train, card.split.gap, card.split.folds) == ("7d", "0d", 1)
    assert card.step[-1] == {"name": "model", "use": "fintech_dl.NeuralClassifier"}
    data = dataset_card(mine / "payments.toml")
    assert data.columns["amount"].max == 10.0
    assert data.columns["fraud"].allowed == [0, 1]
    assert [type(v) for v in data.columns["fraud"].allowed] == [int, int]
    assert data.contract.max_quarantined == 0.05


def test_the_space_of_a_search_keeps_whole_numbers_whole(mine):
    space = "{ a = [1, 'x', { use = 'y' }], b = { low = 1, high = 8 }, c = { low = 1.0, high = 8 }}"
    path = changed(mine / "mine.toml", "[test]", f"[search]\nspace = {space}\n[test]")
    search = pipeline_card(path).search
    assert search.space["a"] == [1, "x", {"use": "y"}]
    assert (search.space["b"], search.space["c"]) == (Range(low=1, high=8), Range(low=1.0, high=8))
    assert [type(search.space[key].low) for key in "bc"] == [int, float]
    assert (search.method, search.folds, search.n_jobs, search.time_limit) == ("random", 3, 1, None)


def test_a_forecast_in_a_card(mine):
    keys = "coverage = 0.8\nintervals = { scale = 'ewma_94' }"
    path = changed(mine / "mine.toml", "[split]", forecasting(keys, "['mae']", "price"))
    forecast = pipeline_card(path).forecast
    assert (forecast.kind, forecast.coverage, forecast.cost_bp) == ("price", 0.8, 5.0)
    assert (forecast.intervals.method, forecast.intervals.scale) == ("split", "ewma_94")
    assert not forecast.intervals.updated
    more = {"scale": ["a", "b"], "adapt": 0.01, "window": 250}
    intervals = pipeline_card("mine", {"forecast.intervals": more}).forecast.intervals
    assert (intervals.scale, intervals.updated) == (["a", "b"], True)
    assert pipeline_card("mine", {"forecast.top": 0.2}).forecast.top == 0.2
    rule = "calibration = { method = 'beta' }\n"  # which only classes know
    (mine / "mine.toml").write_text(PIPELINE)
    direction = rule + forecasting("", "['brier']", "direction")
    path = changed(mine / "mine.toml", "[split]", direction)
    assert pipeline_card(path).calibration.method == "beta"


def test_own_cards_are_found_first_and_by_their_kind(mine):
    shipped_name = "synthetic_card_transactions"
    (mine / f"{shipped_name}.toml").write_text(DATASET)
    assert dataset_card(shipped_name).title == "Payments"
    assert {"payments", shipped_name} <= set(names("datasets"))
    assert "mine" not in names("datasets")
    assert "mine" in names("pipelines")
    assert "payments" not in names("pipelines")
    with pytest.raises(CardError, match="unknown dataset 'mine'"):
        dataset_card("mine")


def test_own_cards_in_folders_like_the_shipped_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("FINTECH_DL_CARDS", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "payments.toml").write_text(DATASET)
    assert dataset_card("payments").folder == tmp_path / "datasets"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("title", "titel", r"unknown key 'titel'; did you mean 'title'\?"),
        ("path =", "pth =", r"source: unknown key 'pth'; did you mean 'path'\?"),
        ("labels", "lables", r"contract: unknown key 'lables'; did you mean 'labels'\?"),
        ("max = 10", "maxi = 10", r"columns\.amount: unknown key 'maxi'; did you mean 'max'\?"),
        ('"number"', '"numbr"', r"columns\.amount: type: got 'numbr'; did you mean 'number'\?"),
        ('"file"', '"fil"', r"source: kind: got 'fil'; did you mean 'file'\?"),
        ('key = "id"', 'key = "di"', r"no column 'di' is declared; did you mean 'id'\?"),
        ('["fraud"]', '["fruad"]', r"no column 'fruad' is declared; did you mean 'fraud'\?"),
        ('licence = "own"', "", "the key 'licence' is missing"),
        ('licence = "own"', "licence = 5", "licence: got 5, expected str"),
        ('title = "Payments"', 'name = "x"\ntitle = "P"', "unknown key 'name'"),
        ("min = 0", 'min = "0"', "columns.amount: min: got '0', expected float"),
        ("min = 0", "min = true", "got True, expected float"),
        ("min = 0", "min = 11", "min 11 is above max 10"),
        ("[0, 1]", '["no", "yes"]', "are no values of type integer"),
        ("[0, 1]", "[0.5]", "are no values of type integer"),
        ('"number", min', '"text", min', "min and max are for numbers"),
        ('{ type = "datetime" }', '{ type = "boolean" }', "'at' is neither time nor number"),
        ('"integer" }', '"integer", nullable = true }', "key and the time cannot be nullable"),
        ('"datetime"', '"datetime", timezone = "Mars/Base"', "unknown timezone 'Mars/Base'"),
        ("[contract]", "[contract]\nmax_quarantined = 5.0", "share from 0 to 1"),
        ("[contract]", '[contract]\nas_of = "soon"', "'soon' is no date"),
        ("[contract]", "[split]\ntrian = '7d'\n[contract]", "did you mean 'train'"),
        ("[contract]", "[split]\ntrain = '7 days'\n[contract]", "split.train: '7 days' is no"),
        ("[source]", '[source]\nsha256 = "abc"', "expected 64 hex digits"),
        ('path = "payments.csv"', "", "needs the key 'path'"),
        ('kind = "file"', 'kind = "url"', "kind 'url' needs the key 'url'"),
        ('kind = "file"', 'kind = "synthetic"', "needs the key 'use'"),
        ("[source]", '[source]\nurl = "file:///x"', "expected https"),
        ("amount =", '"a*" = { type = "number", source = "b" }\namount =', r"a rule with \*"),
        ("[columns]", "[columns", "not valid TOML"),
    ],
)
def test_a_wrong_dataset_card_says_what_is_wrong(mine, old, new, told):
    path = changed(mine / "payments.toml", old, new)
    with pytest.raises(CardError, match=told) as caught:
        dataset_card(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("question =", "qestion =", r"unknown key 'qestion'; did you mean 'question'\?"),
        ("[split]", "[splitt]", r"unknown key 'splitt'; did you mean 'split'\?"),
        ("train =", "trian =", r"split: unknown key 'trian'; did you mean 'train'\?"),
        ('"prequential"', '"prequentail"', r"did you mean 'prequential'\?"),
        ('"7d"', '"a week"', "split.train: 'a week' is no length of time"),
        ('"37d"', '"37"', "history: '37' is no length of time"),
        ('"3d"', '"3x"', "test: split.train: '3x' is no length of time"),
        ("train = ", 'start = "yesterday"\ntrain = ', "'yesterday' is no date"),
        ("train = ", "folds = 0\ntrain = ", "split.folds: got 0"),
        ("train = ", "test_fraction = 1.5\ntrain = ", "split.test_fraction: got 1.5"),
        ('"prequential"', '"holdout"\nexpanding = true', "split.expanding is of no use with kind"),
        ('name = "model"', 'name = "net"', 'the last one "model"'),
        ('name = "scale"', 'name = "model"', "each .* needs its own name"),
        ('use = "sklearn.preprocessing.StandardScaler"', "", "step: the key 'use' is missing"),
        ("baseline = [{ use", "baseline = [{ uses", "baseline: the key 'use' is missing"),
        ("table = { use", "table = { uses", "table: the key 'use' is missing"),
        ('dataset = "payments"', 'dataset = "payment"', r"did you mean 'payments'\?"),
        ("[test]", "[decision]\nrule = 'cots'\n[test]", r"decision: rule: .*mean 'cost'\?"),
        ("[test]", "[calibration]\nmetod = 'sigmoid'\n[test]", r"did you mean 'method'\?"),
        ("[test]", "[calibration]\nmethod = 'beta'\nprior = 2\n[test]", "prior: got 2, expected"),
        ("[test]", "[calibration]\nmethod = 'beta'\nfraction = 0.0\n[test]", "fraction: got 0"),
        ("[test]", "[calibration]\nmethod = 'beta'\nprior = 'all'\n[test]", "got 'all', expected"),
        ("[split]", forecasting(kind="volatilty"), r"forecast: kind: .*mean 'volatility'\?"),
        ("[split]", forecasting("cost = 5"), r"forecast: unknown key 'cost'.*mean 'cost_bp'"),
        (
            "[split]",
            forecasting(metrics="['rank_ic', 'qlike']"),
            "decides the verdict of a volatility forecast: got 'rank_ic'; allowed: mae, mse, qlike",
        ),
        ("[split]", forecasting(metrics="[]"), "the first of metrics decides .* got ''; allowed"),
        ("[split]", forecasting("top = 0.6"), r"forecast\.top: got 0\.6, expected 0\.001 to 0\.5"),
        ("[split]", forecasting("cost_bp = -1"), r"forecast\.cost_bp: got -1, expected 0 to 1000"),
        ("[split]", forecasting("ic_limit = nan"), r"forecast\.ic_limit: got nan"),
        (
            "[split]",
            forecasting("coverage = 1"),
            r"forecast\.coverage: got 1, expected more than 0",
        ),
        (
            "[split]",
            forecasting("intervals = { fraction = 1 }"),
            r"intervals\.fraction: got 1, exp",
        ),
        ("[split]", forecasting("intervals = { adapt = 2 }"), r"intervals\.adapt: got 2, expected"),
        ("[split]", forecasting("intervals = { window = 9 }"), "nothing is updated; set update"),
        ("[split]", forecasting("intervals = { window = -9 }"), r"window: got -9, expected 0"),
        ("[split]", forecasting("intervals = { scale = [] }"), "scale: an empty list"),
        (
            "[split]",
            forecasting("intervals = { logs = true }", "['mae']", "price"),
            r"intervals\.logs: log changes of prices may be below 0",
        ),
        ("[split]", forecasting("intervals = { method = 'cq' }"), r"method: .*mean 'cqr'\?"),
        (
            "[split]",
            forecasting("intervals = {}", "['rank_ic']", "ranking"),
            "a ranking forecast has none; remove them",
        ),
        (
            "[split]",
            "decision = { rule = 'cost' }\n" + forecasting(),
            "decision is of no use in a volatility forecast",
        ),
        (
            "[split]",
            "calibration = { method = 'beta' }\n" + forecasting(),
            "calibration is of no use in a volatility forecast",
        ),
        (
            "[split]",
            "validation = {}\n" + forecasting("", "['log_loss']", "direction"),
            "validation is of no use in a direction forecast",
        ),
        ("[split]", f"{forecasting()}\nremove_known = true", "remove_known is of no use in a fore"),
        ("[test]", validating("protectd = []"), r"validation: .*mean 'protected'\?"),
        ("[test]", validating("approval_rate = 1.0"), "approval_rate: got 1, expected a share"),
        ("[test]", validating("lgd = 0.5"), "losses need both lgd .* and ead"),
        ("[test]", validating("ead = 'ead'"), "losses need both lgd .* got lgd = None"),
        ("[test]", validating("lgd = 45.0\nead = 'ead'"), "lgd: got 45, expected a share"),
        ("[test]", validating("grades = 1"), "grades: got 1, expected 2 or more"),
        ("[test]", validating("grades = [0, 0.2, 0.1]"), "grades: got bounds .* rising"),
        ("[test]", validating("vintage = 'year'"), "validation: vintage: got 'year'"),
        ("[test]", validating("bands = { age = [25] }"), "bands: 'age' is neither in protected"),
        (
            "[test]",
            validating("protected = ['age']\nbands = { age = [40, 25] }"),
            "bands.age: got .*expected rising",
        ),
        ("[test]", validating("reference = { sex = 'm' }"), "'sex' is no protected attribute"),
        (
            "[test]",
            validating("statements = { ownr = 'x' }"),
            r"statements: unknown key 'ownr'; did you mean 'owner'\?",
        ),
        ("[test]", "[search]\nspaces = {}\n[test]", r"search: .*did you mean 'space'\?"),
        ("[test]", "[search]\n[test]", "search.space: names nothing to try; write addresses"),
        ("[test]", "[search]\nmethod = 'gird'\n[test]", r"search: method: .*mean 'grid'\?"),
        ("[test]", "[search]\nn_iter = 0\n[test]", r"search\.n_iter: got 0, expected more than 0"),
        ("[test]", "[search]\nfolds = -1\n[test]", r"search\.folds: got -1, expected more than 0"),
        ("[test]", "[search]\ntime_limit = nan\n[test]", r"search\.time_limit: got nan"),
        (
            "[test]",
            "[search]\nn_jobs = 0\n[test]",
            r"search\.n_jobs: got 0, .* -1 for one per core",
        ),
        (
            "[test]",
            "[search]\nspace = { a__b = 5 }\n[test]",
            r"a__b: .*table, got 5",
        ),
        (
            "[test]",
            "[search]\nspace = { a__b = [] }\n[test]",
            r"a__b: an empty list",
        ),
        ("[test]", spaced("{ low = 1, hi = 2 }"), r"unknown key 'hi'; .*mean 'high'\?"),
        ("[test]", spaced("{ low = 1 }"), r"space\.a__b: the key 'high' is missing"),
        ("[test]", spaced("{ low = '1', high = 2 }"), "low: got '1', expected int or float"),
        ("[test]", spaced("{ low = 2, high = 1 }"), "low = 2, high = 1: low must lie below high"),
        ("[test]", spaced("{ low = 0, high = inf }"), "low = 0, high = inf: low must lie below"),
        ("[test]", spaced("{ low = 0, high = 1, log = true }"), "log needs low above 0, got 0"),
        ("[test]", spaced("{ low = 1, high = 9, step = 0 }"), "step = 0: allowed: above 0, up to "),
        ("[test]", spaced("{ low = 1, high = 9, step = 9 }"), "step = 9: .* high - low = 8"),
        ("[test]", spaced("{ low = 1, high = 9, step = 2, log = true }"), "log and step exclude"),
        (
            "[test]",
            spaced("{ low = 0.1, high = 0.9 }", "grid"),
            "needs a list of values, or",
        ),
    ],
)
def test_a_wrong_pipeline_card_says_what_is_wrong(mine, old, new, told):
    path = changed(mine / "mine.toml", old, new)
    with pytest.raises(CardError, match=told):
        pipeline_card(path)


@pytest.mark.parametrize(
    ("reader", "kind", "word", "right"),
    [
        (dataset_card, "dataset", "handbok_transactions", "handbook_transactions"),
        (pipeline_card, "pipeline", "fruad", "fraud"),
    ],
)
def test_an_unknown_name_is_told_the_nearest(reader, kind, word, right):
    told = f"unknown {kind} '{word}'; did you mean '{right}'.*allowed: .*looked in "
    with pytest.raises(CardError, match=told):
        reader(word)


def test_a_card_file_that_cannot_be_read(tmp_path):
    with pytest.raises(CardError, match="there is no such card file"):
        dataset_card(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes('title = "Société"'.encode("latin-1"))
    with pytest.raises(CardError, match="not valid TOML"):
        dataset_card(tmp_path / "latin.toml")


def test_overrides_by_dotted_keys(mine):
    card = pipeline_card("mine", {"split.folds": 2, "table.delay_days": 3, "title": "Other"})
    assert (card.split.folds, card.title) == (2, "Other")
    assert card.table == {"use": "transactions.card_history", "delay_days": 3}
    assert pipeline_card("mine", {"decision.rule": "cost"}).decision.false_alarm == 1.0
    assert pipeline_card("mine").split.folds == 1


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"split.fold": 2}, "did you mean 'folds'"),
        ({"splitt.folds": 2}, "did you mean 'split'"),
        ({"split.folds": "two"}, "got 'two', expected int"),
        ({"title.text": "x"}, "'title.text' is no key of a table"),
        ({"step.0.use": "x"}, "'step.0.use' is no key of a table"),
    ],
)
def test_wrong_overrides(mine, overrides, told):
    with pytest.raises(CardError, match=told):
        pipeline_card("mine", overrides)


def test_the_split_of_the_dataset_holds_unless_overridden(mine):
    (mine / "other.toml").write_text(DATASET + '[split]\nstart = 2018-07-25\ntrain = "2d"\n')
    card = pipeline_card("mine", dataset="other")
    assert (card.dataset, card.split.start, card.split.train) == ("other", "2018-07-25", "2d")
    assert pipeline_card("mine", {"dataset": "other"}).split.start == "2018-07-25"
    card = pipeline_card("mine", {"split.start": "2018-08-01"}, dataset="other")
    assert card.split.start == "2018-08-01"


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("7d", timedelta(days=7)),
        ("12h", timedelta(hours=12)),
        ("90min", timedelta(minutes=90)),
        ("4w", timedelta(days=28)),
        ("0d", timedelta(0)),
        ("7 d", timedelta(days=7)),
    ],
)
def test_duration(text, length):
    assert duration(text) == length


@pytest.mark.parametrize("text", ["", "7", "d", "-7d", "1.5d", "7 days", "7d ", "\u0667d", "1m"])
def test_no_duration(text):
    with pytest.raises(CardError, match="is no length of time"):
        duration(text)


def test_nearest():
    assert nearest("amuont", ["amount", "time"]) == "did you mean 'amount'? allowed: amount, time"
    assert nearest("xyz", ["time", "amount"]) == "allowed: amount, time"


def test_reading_cards_imports_nothing_heavy():
    code = (
        "import sys; from fintech_dl.cards import dataset_card, names, pipeline_card;"
        "[dataset_card(name) for name in names('datasets')];"
        "[pipeline_card(name) for name in names('pipelines')];"
        "print(sorted({'numpy', 'pandas', 'pyarrow', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
