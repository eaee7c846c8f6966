import copy
import itertools
import json
import os
import re
import runpy
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import pytest

from fintech_dl.errors import NotInstalledError, OutputError
from fintech_dl.evaluation import charts
from fintech_dl.evaluation.report import render, results_table, write_report

EXAMPLE = runpy.run_path(str(Path(__file__).with_name("record_example.py")))["example_record"]()
SECTIONS = {
    "models": ["results", "curves", "days", "calibration", "speed"],
    "data": ["data"],
    "protocol": ["protocol"],
    "search": ["search"],
    "decision": ["decision"],
    "importance": ["importance"],
    "commands": ["use"],
    "environment": ["environment"],
}
HOSTILE = [
    "<script>alert(1)</script>",
    r"$\frac{1}{0}$",
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "</style></svg></title><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "--><b>&lt;",
    'style="fill: #010100"',
]
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """A page read back: its elements, attributes, texts, and whether every tag is closed."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.texts, self.open = set(), set(), [], []
        self.tables, self.figures, self.ids, self.classes = [], [], set(), set()
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids |= {value for name, value in attrs if name == "id"}
        self.classes |= {value for name, value in attrs if name == "class"}
        if tag == "svg" and dict(attrs).get("class") == "chart":
            self.figures.append(dict(attrs))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data


@pytest.fixture(scope="module")
def html():
    return render(EXAMPLE)


@pytest.fixture
def undrawn(monkeypatch):
    """Charts that are not drawn, for tests of what surrounds them."""
    monkeypatch.setattr(charts, "surface", lambda draw, alt, height=0: "<svg></svg>")


def short(value, places=3):
    return f"{value:.{places}f}".removeprefix("0")


def test_the_same_record_gives_the_same_bytes_in_any_process(html, tmp_path):
    code = "import json; from fintech_dl.evaluation.report import render as r"
    code += "; print(r(json.load(open(sys.argv[1]))), end='')"
    (tmp_path / "record.json").write_text(json.dumps(EXAMPLE))
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", f"import sys; {code}", str(tmp_path / "record.json")],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
        )
        for seed in ("1", "2")
    ]
    first, second = (run.communicate()[0] for run in runs)
    assert first == second == html.encode()


def test_render_leaves_the_record_and_the_users_matplotlib_alone(html):
    record = copy.deepcopy(EXAMPLE)
    settings = {
        "lines.linewidth": 9.0,
        "font.size": 30.0,
        "axes.grid": True,
        "svg.fonttype": "path",
    }
    with matplotlib.rc_context(settings):
        before = dict(matplotlib.rcParams)
        assert render(record) == html
        assert dict(matplotlib.rcParams) == before
    assert record == EXAMPLE


def test_the_page_stands_alone_and_is_small(html):
    assert len(html.encode()) < 1_000_000
    low = html.lower()
    for forbidden in ("<script", "http:", "https:", "//", "@import", "javascript:", "<iframe"):
        assert forbidden not in low.replace("<!doctype html>", ""), forbidden
    assert set(re.findall(r"url\((.)", html)) <= {"#"}
    page = Page(html)
    assert not page.attributes & {"src", "srcset", "action", "onload", "onclick", "ping"}
    assert set(re.findall(r'href="(.)', html)) == {"#"}
    assert (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'" in html
    )
    assert html.index("Content-Security-Policy") < html.index("<style>")


def test_every_link_and_every_reference_of_a_chart_has_its_target(html):
    page = Page(html)
    wanted = re.findall(r'href="#([\w-]+)"', html) + re.findall(r"url\(#([\w-]+)\)", html)
    assert wanted
    assert set(wanted) <= page.ids


def test_every_chart_has_words_and_a_line_on_how_to_read_it(html):
    page = Page(html)
    assert len(page.figures) == 14
    for chart in page.figures:
        assert chart["role"] == "img"
        assert len(chart["aria-label"]) > 10
        assert chart["viewbox"]
    assert len({c["aria-label"] for c in page.figures}) == 14
    assert len(re.findall(r"<figcaption>[A-Z][^<]{30,}</figcaption>", html)) == 14


def test_colours_of_charts_follow_the_page(html):
    charts = "".join(re.findall(r"<svg.*?</svg>", html, re.S))
    assert not re.findall(r"#[0-9a-fA-F]{6}\b|currentcolor|black|white", charts)
    used = set(re.findall(r"var\(--(\w+)\)", html))
    light, dark = html.split("prefers-color-scheme: dark")[:2]
    for name in used:
        assert f"--{name}:" in light, name
        assert f"--{name}:" in dark.split("* {")[0], name


def test_the_verdict_stands_first_in_words(html):
    verdict = EXAMPLE["verdict"]["text"]
    assert re.search(r"<h1[^>]*>([^<]*)</h1>", html)[1] == verdict
    assert html.index("No better than the best simple rival") < html.index("<h1")
    assert '<h1 class="same">' in html


@pytest.mark.parametrize(
    ("outcome", "said"), [("beats", "Better than"), ("worse", "Worse than"), ("x<y", None)]
)
def test_outcome_is_said_in_words_not_only_in_colour(outcome, said):
    page = render({"title": "t", "verdict": {"text": "The verdict.", "outcome": outcome}})
    assert f'<h1 class="{outcome if said else "none"}">The verdict.</h1>' in page
    if said:
        assert f"{said} the best simple rival</p>" in page


def test_the_numbers_of_a_verdict_stand_below_its_headline():
    text = "NeuralClassifier(MLP) beats the prior (difference 0.2, p = 0.001)."
    page = render({"title": "t", "verdict": {"text": text, "outcome": "beats"}})
    assert '<h1 class="beats">NeuralClassifier(MLP) beats the prior.</h1>' in page
    assert '<p class="numbers">Difference 0.2, p = 0.001.</p>' in page


def test_results_table_holds_every_number_of_every_model(html):
    table = Page(html).tables[0]
    assert table[0] == ["model", "AP", "AUC", "CP@100", "R@1%", "Brier"]
    places = {"brier": 4}
    ran = [m for m in EXAMPLE["models"] if m["ran"]]
    for row, model in zip(table[1:], ran, strict=False):
        assert row[0] == model["title"]
        for cell, (name, value) in zip(row[1:], model["metrics"].items(), strict=True):
            assert cell.startswith(short(value["value"], places.get(name, 3)) + "["), name
    model = EXAMPLE["models"][0]["metrics"]["average_precision"]
    assert (
        table[1][1]
        == f"{short(model['value'])}[{short(model['low'], 2)}, {short(model['high'], 2)}]"
    )
    assert table[5] == ["LightGBM", "not run: the library 'lightgbm' is not installed"]


def test_the_best_of_each_column_is_bold_also_where_less_is_better(html):
    body = html[html.index("<tbody>") : html.index("</tbody>")]
    ran = [m["metrics"] for m in EXAMPLE["models"] if m["ran"]]
    best = [max(m[k]["value"] for m in ran) for k in list(ran[0])[:4]]
    least = min(m["brier"]["value"] for m in ran)
    assert re.findall(r"<b>([^<]*)</b>", body) == [*map(short, best), short(least, 4)]


def test_folds_show_each_value(html):
    table = next(
        t for t in Page(html).tables if t[0] == ["model", "fold 1", "fold 2", "fold 3", "fold 4"]
    )
    for row, model in zip(table[1:], EXAMPLE["models"], strict=False):
        assert row[1:] == [short(v) for v in model["metrics"]["average_precision"]["folds"]]


@pytest.mark.parametrize(
    ("metric", "low", "high", "said"),
    [
        ("average_precision", 0.01, 0.05, "model better"),
        ("average_precision", -0.05, -0.01, "rival better"),
        ("average_precision", -0.05, 0.01, "no clear difference"),
        ("brier", 0.01, 0.05, "rival better"),
        ("brier", -0.05, -0.01, "model better"),
        ("brier", 0.0, 0.01, "no clear difference"),
        ("brier", None, None, "no clear difference"),
    ],
)
@pytest.mark.parametrize("rival", ["r", "The rival"])
def test_a_paired_test_is_put_into_words(metric, low, high, said, rival):
    models = [
        {"name": "model", "metrics": {metric: {"value": 0.5}}},
        {"name": "r", "title": "The rival", "is_baseline": True, "metrics": {}},
    ]
    test = {"rival": rival, "metric": metric, "difference": 0.02, "low": low, "high": high}
    page = Page(render({"title": "t", "models": models, "comparison": [test | {"p_value": 4e-4}]}))
    row = page.tables[-1][1]
    assert row[0] == "The rival"
    assert row[2] == "+.020"
    assert row[4:6] == ["< .001", said]


@pytest.mark.parametrize("part", [*SECTIONS, "features", "limits", "training", "verdict", "words"])
@pytest.mark.parametrize("empty", ["absent", None, "empty"])
def test_a_missing_part_leaves_its_section_out(part, empty, undrawn):
    record = {k: v for k, v in EXAMPLE.items() if k != part}
    if empty != "absent":
        record[part] = type(EXAMPLE[part])() if empty else None
    page = Page(render(record))
    assert not page.ids & set(SECTIONS.get(part, []))
    assert {i for p, ids in SECTIONS.items() if p != part for i in ids} <= page.ids


@pytest.mark.parametrize("part", ["data", "decision", "training", "models", "folds", "search"])
def test_every_field_of_a_part_may_be_missing(part, undrawn):
    whole = EXAMPLE["protocol"]["folds"] if part == "folds" else EXAMPLE[part]
    for key in whole[0] if isinstance(whole, list) else whole:
        record = copy.deepcopy(EXAMPLE)
        target = record["protocol"]["folds"] if part == "folds" else record[part]
        for entry in target if isinstance(target, list) else [target]:
            entry.pop(key, None)
        assert Page(render(record)).ids >= {"data", "limits"}, key


def test_the_decision_shows_its_rivals_and_no_column_that_never_changes(undrawn):
    record = copy.deepcopy(EXAMPLE)
    own = record["decision"]
    rival = {k: own[k] for k in ("threshold", "recall", "savings")} | {"cost": 30000.4}
    own["rivals"] = [rival | {"name": "logistic"}, rival | {"name": "gone", "alerts": 7}]
    table = next(t for t in Page(render(record)).tables if "savings" in t[0])
    assert table[0][:3] == ["model", "alerts", "alerts a day"]
    assert [row[0] for row in table[1:]] == ["MLP [128, 64]", "Logistic regression", "gone"]
    assert table[2][6] == "30,000"
    assert table[3][1] == "7"
    own["rivals"][0]["threshold"] = 0.5
    table = next(t for t in Page(render(record)).tables if "savings" in t[0])
    assert [row[1] for row in table[1:]] == [
        short(own["threshold"], 4),
        ".500",
        short(own["threshold"], 4),
    ]


def test_a_search_shows_its_ten_best_trials_beside_the_model_as_it_was(undrawn):
    page = Page(render(EXAMPLE))
    table = next(t for t in page.tables if t[0][0] == "trial")
    head = ["trial", "model__learning_rate", "model__network__units", "AP", "time"]
    assert table[0] == head
    log = EXAMPLE["search"]["log"]
    good = sorted((t for t in log if t["mean"]), key=lambda t: -t["mean"])
    assert log[0] not in good[:10]
    names = [f"trial {t['trial']}" for t in good[:10]]
    assert [row[0] for row in table[1:]] == [*names, "as it was"]
    assert table[1][1:3] == ["0.008", "64, 32"]
    assert table[1][3] == ".743.723, .743, .763"
    text = " ".join(page.texts)
    assert "the parameters of trial 7: AP .743; as it was: .600." in text
    assert "model__network__units 64, 32: ValueError: units must be positive" in text
    assert "20, but time was up" in text
    kept = copy.deepcopy(EXAMPLE)
    kept["search"] |= {"improved": False, "best": log[0], "stopped": False}
    text = " ".join(Page(render(kept)).texts)
    assert "the parameters stay as they were" in text
    assert "time was up" not in text


def test_trials_of_fewer_rows_say_so_and_come_last(undrawn):
    record = copy.deepcopy(EXAMPLE)
    record["search"]["log"][7]["share"] = 1 / 3
    table = next(t for t in Page(render(record)).tables if t[0][0] == "trial")
    assert "trial 7" not in [row[0] for row in table]  # eleven others were on all rows
    record["search"]["log"] = record["search"]["log"][:8]
    table = next(t for t in Page(render(record)).tables if t[0][0] == "trial")
    assert table[0][4] == "of the transactions"
    assert table[-1][0] == "trial 7"
    assert table[-1][4] == "33%"


def test_saving_and_losing_are_said_as_such(undrawn):
    decision = {"cost": 120.0, "cost_of_best_trivial": 100.0, "unit": "EUR"}
    page = render({"title": "t", "decision": decision})
    assert "It loses <b>20 EUR</b>." in page
    page = render({"title": "t", "decision": decision | {"cost": 40.0}})
    assert "It saves <b>60 EUR</b>." in page


def test_a_record_with_almost_nothing_is_a_page():
    page = Page(render({"title": "Card fraud"}))
    assert page.figures == page.tables == []
    assert not page.ids


def test_numbers_that_do_not_exist_are_dashes_and_gaps():
    record = copy.deepcopy(EXAMPLE)
    _replace(record, lambda v: float("nan") if isinstance(v, float) else v)
    assert Page(render(record)).tables[0][1][1:] == ["\N{EN DASH}"] * 5
    record = copy.deepcopy(EXAMPLE)
    _replace(
        record, lambda v: None if isinstance(v, int | float) and not isinstance(v, bool) else v
    )
    text = render(record)
    assert "nan" not in text.lower().split()
    assert "None" not in text


@pytest.mark.fault(29, times=len(HOSTILE))
def test_hostile_texts_stay_texts(html):
    record = copy.deepcopy(EXAMPLE)
    turn = itertools.cycle(HOSTILE)
    _replace(record, lambda v: next(turn) if isinstance(v, str) and not v[:4].isdigit() else v)
    record["verdict"]["outcome"] = "same"
    record["words"] = {"rows": HOSTILE[0], "positives": HOSTILE[1], "positive": HOSTILE[2]}
    record["environment"] = {text: text for text in HOSTILE}
    record["data"]["quarantine_reasons"] = {text: 3 for text in HOSTILE}
    record["training"]["settings"] = {text: [text, {text: text}] for text in HOSTILE}
    hostile, safe = render(record), Page(html)
    page = Page(hostile)
    assert page.tags <= safe.tags
    assert page.attributes <= safe.attributes
    assert page.classes <= safe.classes | {"none"}
    text = "".join(page.texts)
    drawn = [unescape(d) for d in re.findall(r"<text[^>]*>([^<]*)</text>", hostile)]
    for word in HOSTILE:
        assert text.count(word) > 10, word
        assert any(d.startswith(word[:20]) for d in drawn), word


@pytest.mark.fault(29)
def test_control_and_direction_characters_are_shown_as_such():
    record = {
        "title": "a\x00b\x1b[31mc\u202ed\ud800e",
        "importance": [{"feature": "f\x08\u2066g\n h", "mean": 1.0}],
    }
    text = render(record)
    assert "a\ufffdb\ufffd[31mc\ufffdd\ufffde" in text
    assert ">f\ufffd\ufffdg h</text>" in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e\u2066]", text)


def test_a_huge_record_stays_under_two_megabytes():
    n = 30_000
    x = [i / n for i in range(n)]
    curve = [v**0.3 for v in x]
    band = {"low": curve, "high": curve}
    models = [
        {
            "name": f"m{i}",
            "metrics": {f"metric_{j}": {"value": 0.5, "folds": [0.1] * 8} for j in range(12)},
            "curves": {
                "precision_recall": {"recall": x, "precision": curve[::-1]} | band,
                "roc": {"fpr": x, "tpr": curve} | band,
            },
        }
        for i in range(8)
    ]
    names = [f"column_{i}" for i in range(400)]
    record = {
        "title": "Wide",
        "models": models,
        "features": names * 10,
        "importance": [{"feature": n, "mean": 0.1, "low": 0.0, "high": 0.2} for n in names],
        "data": {"columns": [{"name": n, "type": "float", "missing_share": 0.5} for n in names]},
    }
    assert len(render(record).encode()) < 2_000_000


def test_write_report_is_whole_or_not_at_all(tmp_path, html, monkeypatch):
    folder = tmp_path / "new" / "run"
    path = write_report(EXAMPLE, folder)
    assert path == folder / "report.html"
    assert path.read_bytes() == html.encode()
    assert [p.name for p in folder.iterdir()] == ["report.html"]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match=r"report\.html.*Permission denied.*choose a folder"):
        write_report({"title": "other"}, folder)
    assert [p.name for p in folder.iterdir()] == ["report.html"]
    assert path.read_bytes() == html.encode()


def test_write_report_into_a_file_says_so(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="taken"):
        write_report({"title": "t"}, tmp_path / "taken")


@pytest.mark.parametrize("library", ["matplotlib", "jinja2"])
def test_a_missing_library_names_the_extra(library, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == library else find(name, *a)
    )
    with pytest.raises(NotInstalledError, match=rf"{library}.*fintech-dl\[report\]"):
        render({"title": "t"})


def test_results_table_for_the_terminal():
    record = {
        "models": [
            {"name": "rival", "title": "Logistic\x1b[31m", "is_baseline": True,
             "metrics": {"average_precision": {"value": 0.606, "low": 0.57, "high": 0.64},
                         "log_loss": {"value": 0.0312}}},
            {"name": "lightgbm", "is_baseline": True, "ran": False, "reason": "not installed"},
            {"name": "model", "title": "MLP",
             "metrics": {"average_precision": {"value": 0.6534, "low": 0.62, "high": 0.68},
                         "log_loss": {"value": 0.0287}}},
        ]
    }  # fmt: skip
    assert results_table(record).splitlines() == [
        "model          AP               Log loss",
        "MLP            .653 [.62, .68]  .0287",
        "Logistic\ufffd[31m  .606 [.57, .64]  .0312",
        "lightgbm       not run: not installed",
    ]
    narrow = results_table(record, width=34).splitlines()
    assert narrow[0].split() == ["model", "AP"]
    assert narrow[5].split() == ["model", "Log", "loss"]
    assert max(map(len, narrow[:3])) <= 34
    assert results_table({"title": "nothing ran"}) == "model"


def test_terminal_table_of_the_example_fits_and_agrees_with_the_page(html):
    lines = results_table(EXAMPLE, width=200).splitlines()
    page = Page(html).tables[0]
    assert len(lines) == len(page)
    for line, row in zip(lines[1:5], page[1:5], strict=True):
        assert re.sub(r"\s+", "", line) == re.sub(r"\s+", "", "".join(row))
    assert max(map(len, results_table(EXAMPLE).splitlines())) <= 100


def _replace(part, change):
    items = part.items() if isinstance(part, dict) else enumerate(part)
    for key, value in list(items):
        if isinstance(value, dict | list):
            _replace(value, change)
        else:
            part[key] = change(value)
