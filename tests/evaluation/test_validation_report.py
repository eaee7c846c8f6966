"""The model validation report: its sections, its status, its bytes."""

import copy
import json
import re

import pytest

from fintech_dl.cards.validation import STATEMENTS
from fintech_dl.errors import DataError
from fintech_dl.evaluation.rebuild import rebuild_report
from fintech_dl.evaluation.validation_report import render_validation, validation_record
from fintech_dl.evaluation.validation_sections import SECTIONS, sections

EVERYTHING = dict.fromkeys(STATEMENTS, "Said by a person.")
HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}"]


@pytest.fixture(scope="module")
def record(credit_run):
    return json.loads((credit_run.folder / "validation.json").read_text())


@pytest.fixture(scope="module")
def page(credit_run):
    return (credit_run.folder / "validation.html").read_text()


def restated(record, statements):
    return validation_record(record, record["validation"], statements)


def test_fifteen_sections_in_order(page):
    titles = re.findall(r"<h2>(\d+)\. ([^<]+)</h2>", page)
    assert [int(number) for number, _ in titles] == list(range(1, 16))
    assert [title for _, title in titles] == [title for _, title, *_ in SECTIONS]
    assert sorted(key for *_, asked in SECTIONS for key in asked) == sorted(STATEMENTS)


def test_a_draft_until_people_have_said_everything(record, page):
    given = record["validation"]
    assert given["status"] == "DRAFT"
    assert set(given["blank"]) == set(STATEMENTS) - set(given["statements"])
    assert page.count("BLANK: to be written by a person") == len(given["blank"])
    assert "inventory id, owner" in page
    nearly = restated(record, {**EVERYTHING, "sign_off": "  "})
    assert nearly["validation"]["status"] == "DRAFT"
    assert ">DRAFT<" in render_validation(nearly)
    whole = render_validation(restated(record, EVERYTHING))
    assert ">COMPLETE<" in whole
    assert "DRAFT" not in whole
    assert "BLANK" not in whole
    assert whole.count("Said by a person.") == len(STATEMENTS)


def test_it_is_evidence_and_claims_nothing(page):
    assert "SR 26-2 (supersedes SR 11-7)" in page
    assert "It claims no compliance with any rule." in page
    assert re.findall(r"\b(?:compliant|complies|certif)", page, re.IGNORECASE) == []
    assert page.count("Evidence for: ") == 15


def test_it_stands_alone(page):
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=\"(?!#)", page)
    assert "default-src 'none'" in page


def test_numbers_of_the_page_are_in_the_file(record, page):
    gini = record["validation"]["discrimination"]["models"][0]["gini"]["value"]
    assert f"{gini:.3f}"[1:] in page
    digest = record["validation"]["artefact"]["model.onnx"]["sha256"]
    assert digest in page


def test_the_same_bytes_again(credit_run, tmp_path):
    for name in ("metrics.json", "validation.json"):
        (tmp_path / name).write_bytes((credit_run.folder / name).read_bytes())
    first = rebuild_report(tmp_path)
    assert first["validation"]["before"] == "absent"
    made = tmp_path / "validation.html"
    assert made.read_bytes() == (credit_run.folder / "validation.html").read_bytes()
    assert rebuild_report(tmp_path)["validation"]["before"] == "same"
    made.write_text("changed")
    assert rebuild_report(tmp_path)["validation"]["before"] == "different"
    (tmp_path / "validation.json").write_text('{"format": 1, "title": "x", "validation": {}}')
    with pytest.raises(DataError, match=r"validation\.json: is damaged"):
        rebuild_report(tmp_path)


def test_what_the_run_lacks_is_said(record):
    lacking = copy.deepcopy(record)
    given = lacking["validation"]
    given |= {"fairness": None, "vintages": None, "ranks": None, "parity": None, "artefact": {}}
    given |= {"segments": {}, "challenger": None, "sensitivity": []}
    given["reasons"] = {"reason": "the model has no gradients"}
    given["leakage"] |= {"trained_before": None, "labels_known": None}
    given["stability"]["vintages"] = []
    lacking |= {"importance": [], "comparison": [], "verdict": {}, "search": {}}
    page = render_validation(lacking)
    for told in (
        "No protected attribute is declared",
        "there are no vintages",
        "No segments are declared",
        "No simple rival was declared",
        "No evidence on reasons: the model has no gradients",
        "The run has no evidence on: 9 Fairness; 10 Reasons for a decline",
        "Rows have no times",
        "No search: ",
        "No importance was measured",
        "kept no artefact",
        "no graph to prove",
    ):
        assert told in page, told


def test_alarms_are_loud(record):
    bad = copy.deepcopy(record)
    given = bad["validation"]
    given["leakage"] |= {"trained_before": False, "labels_known": False, "protected": ["sex"]}
    given["leakage"]["alone"][0] |= {"auc": 0.97, "suspicious": True}
    given["parity"] = {"passed": False, "reason": "differs"}
    given["reasons"] |= {"complete": False}
    page = render_validation(bad)
    for told in (
        "NOT ALL EARLIER",
        "LABELS WERE NOT KNOWN",
        "too good?",
        "FAILED the proof",
        "DO NOT ADD UP",
        "among the features: sex",
        "NOT out of time",
    ):
        assert told in page, told


def test_weak_segments_are_named(record):
    weak = copy.deepcopy(record)
    whole, first, *_ = weak["validation"]["segments"]["region"]
    first |= {"segment": "atlantis", "gini": 0.1, "gini_high": whole["gini"] - 0.1}
    [block] = [s for s in sections(weak) if s["id"] == "sensitivity"]
    told = " ".join(b["text"] for b in block["blocks"] if "text" in b)
    assert "region atlantis (ranks worse" in told


@pytest.mark.fault(29)
def test_hostile_texts_stay_texts(record):
    turned = restated(record, dict.fromkeys(STATEMENTS, HOSTILE[0]))
    turned |= {"title": HOSTILE[1], "question": HOSTILE[2], "limits": HOSTILE}
    for line in turned["validation"]["fairness"]:
        line |= {"group": HOSTILE[0], "sensitive_feature": HOSTILE[1], "note": HOSTILE[2]}
    for line in turned["validation"]["sensitivity"]:
        line["feature"] = HOSTILE[0]
    for line in turned["validation"]["calibration"]["grades"]:
        line["grade"] = HOSTILE[1]
    page = render_validation(turned)
    assert "<script" not in page
    assert "<img" not in page
    assert "{{ 7 * 7 }}" in page
