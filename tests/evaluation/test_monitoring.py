"""Alarms from counts: rare where nothing has changed, named where something has."""

import numpy as np
import pytest
from scipy.stats import fisher_exact

from fintech_dl.errors import NotInstalledError, PlanError
from fintech_dl.evaluation.monitor_page import render_monitor, write_monitor
from fintech_dl.evaluation.monitoring import Part, as_reference, drift
from fintech_dl.evaluation.plain import plain

SHARES = {
    "tenths": np.full(10, 0.1),
    "mostly zero": np.array([0.7, 0.1, 0.1, 0.06, 0.04]),
    "rare": np.array([0.9, 0.05, 0.03, 0.01, 0.007, 0.003]),
}
TOTALS = {"quarantined": 0, "quarantine_reasons": {}, "alerts": None}


def reference(rng, n, features=8, **more):
    """Return a reference of n rows: numbers in ten bins, and every third a category."""
    lines = []
    for i in range(features):
        kind = list(SHARES)[i % 3]
        counts = rng.multinomial(n, SHARES[kind]).tolist()
        one = {"name": f"{kind} {i}", "counts": counts, "missing": 0}
        if kind == "rare":
            names = [f"c{j}" for j in range(len(counts))]
            one |= {"kind": "category", "categories": names, "other": 0, "others": []}
        else:
            one |= {"kind": "number", "edges": np.arange(len(counts) - 1.0).tolist()}
        lines.append(one)
    score = {"edges": list(np.arange(1, 10) / 10), "effective_rows": float(n)}
    score |= {"counts": rng.multinomial(n, SHARES["tenths"]).tolist()}
    rest = {"rows_read": n, "quarantined_share": 0.0, "alert_rate": None, **more}
    return {"features": lines, "score": score, "effective_rows": float(n), **rest}


def counted(rng, m, given, changed=()):
    found = {}
    for i, one in enumerate(given["features"]):
        shares = SHARES[list(SHARES)[i % 3]]
        shares = shares[::-1] if one["name"] in changed else shares
        new = {"missing": 0, "other": 0, "unseen": 0}
        found[one["name"]] = {"counts": rng.multinomial(m, shares).tolist(), **new}
    score = rng.multinomial(m, SHARES["tenths"]).tolist()
    return {"rows": m, "features": found, "score": score, "rows_scored": m}


@pytest.mark.fault(30)
@pytest.mark.parametrize(("n", "m"), [(300, 100), (20_000, 500)])
def test_false_alarms_are_five_in_a_hundred_at_most(n, m):
    """Both sides drawn from one population; a page with any alarm counts. Three standard errors."""
    rng = np.random.default_rng(n + m)
    draws, alarms = 200, 0
    for _ in range(draws):
        given = reference(rng, n)
        totals = {**TOTALS, "rows": m, "scored": m}
        alarms += bool(drift(given, counted(rng, m, given), totals)["alarms"])
    assert alarms <= draws * (0.05 + 3 * np.sqrt(0.05 * 0.95 / draws))


def test_what_has_changed_is_named_and_nothing_else():
    rng = np.random.default_rng(0)
    given = reference(rng, 5000)
    counts = counted(rng, 3000, given, changed=("mostly zero 1", "rare 2"))
    found = drift(given, counts, {**TOTALS, "rows": 3000, "scored": 3000})
    assert set(found["alarms"]) == {"mostly zero 1", "rare 2"}
    assert {one["name"] for one in found["features"][:2]} == set(found["alarms"])


def test_a_trifle_is_no_alarm_however_many_rows_there_are():
    rng = np.random.default_rng(0)
    given = reference(rng, 1_000_000)
    counts = counted(rng, 1_000_000, given)
    cells = counts["features"]["tenths 0"]["counts"]
    cells[0], cells[1] = cells[0] + 20_000, cells[1] - 20_000
    found = drift(given, counts, {**TOTALS, "rows": 1_000_000, "scored": 1_000_000})
    assert found["features"][0]["beyond_chance"]
    assert found["alarms"] == []


def test_unseen_categories_and_missing_values_alarm():
    rng = np.random.default_rng(0)
    given = reference(rng, 5000)
    counts = counted(rng, 2000, given)
    for name, what in (("rare 2", "unseen"), ("tenths 0", "missing")):
        counts["features"][name]["counts"][0] -= 150
        counts["features"][name][what] = 150
    found = drift(given, counts, {**TOTALS, "rows": 2000, "scored": 2000})
    assert set(found["alarms"]) == {"rare 2", "tenths 0"}
    by_name = {one["name"]: one for one in found["features"]}
    assert by_name["rare 2"]["unseen"] == 0.075
    assert by_name["tenths 0"]["missing_actual"] == 0.075


@pytest.mark.fault(30)
def test_rows_set_aside_and_alerts_are_tested_exactly():
    rng = np.random.default_rng(0)
    given = reference(rng, 4000, quarantined_share=0.01, alert_rate=0.05)
    totals = {"rows": 1050, "scored": 1000, "quarantined": 50, "alerts": 120}
    totals["quarantine_reasons"] = {"missing:age": 50}
    found = drift(given, counted(rng, 1000, given), totals)
    aside, alerts = found["quarantine"], found["alerts"]
    assert aside["p_value"] == pytest.approx(
        fisher_exact([[50, 1000], [40, 3960]], "greater").pvalue
    )
    one_sided = fisher_exact([[120, 880], [200, 3800]], "greater").pvalue
    assert alerts["p_value"] == pytest.approx(2 * one_sided)
    assert {"quarantine", "alert rate"} <= set(found["alarms"])
    assert aside["reasons"][0] == {
        "reason": "missing:age", "expected": 0.0, "actual": 50 / 1050, "rows": 50,
    }  # fmt: skip
    fewer = drift(given, counted(rng, 1000, given), {**totals, "quarantined": 0, "alerts": 2})
    assert fewer["alarms"] == ["alert rate"]  # fewer rows set aside are no alarm, fewer alerts are


def test_another_run_can_be_the_reference():
    rng = np.random.default_rng(0)
    given = reference(rng, 5000)
    last_month = counted(rng, 4000, given, changed=("mostly zero 1",))
    now = counted(rng, 3000, given, changed=("mostly zero 1",))
    totals = {**TOTALS, "rows": 3000, "scored": 3000}
    assert drift(given, now, totals)["alarms"] == ["mostly zero 1"]
    other = as_reference(given, last_month, {**TOTALS, "rows": 4000, "scored": 4000})
    assert drift(other, now, totals)["alarms"] == []
    assert other["effective_rows"] == 4000


def test_counts_of_other_bins_are_refused():
    rng = np.random.default_rng(0)
    given = reference(rng, 100)
    counts = counted(rng, 100, given)
    totals = {**TOTALS, "rows": 100, "scored": 100}
    for broken in (
        {**counts, "score": [100]},
        {**counts, "features": {}},
        {**counts, "features": {n: {**v, "counts": [1]} for n, v in counts["features"].items()}},
    ):
        with pytest.raises(PlanError, match="was counted in other bins"):
            drift(given, broken, totals)
        with pytest.raises(PlanError, match="was counted in other bins"):
            as_reference(given, broken, totals)


def test_the_part_that_differs_comes_first():
    rng = np.random.default_rng(0)
    given = reference(rng, 5000)
    parts = [
        Part(f"{i}.parquet", 500, 0, counted(rng, 500, given, ["rare 2"] if i == 7 else []))
        for i in range(12)
    ]
    whole = counted(rng, 6000, given, ["rare 2"])
    found = drift(given, whole, {**TOTALS, "rows": 6000, "scored": 6000}, parts)
    assert len(found["parts"]) == 10
    assert found["parts"][0]["part"] == "7.parquet"
    assert found["parts"][0]["most_changed"] == "rare 2"
    assert found["parts"][1]["psi"] < 0.1


def page_record(features):
    rng = np.random.default_rng(0)
    given = reference(rng, 2000, features)
    changed = [one["name"] for one in given["features"][:12]]
    parts = [Part("<b>.parquet", 500, 3, counted(rng, 500, given)) for _ in range(2)]
    totals = {**TOTALS, "rows": 1000, "scored": 1000}
    found = drift(given, counted(rng, 1000, given, changed), totals, parts)
    for one in found["features"][:3]:
        one["name"] = "<script>alert(1)</script>\x1b[31m\u202e"
        one["bins"]["bin"][0] = "<img src=x onerror=alert(1)>"
    verdict = {"outcome": "alarm", "text": "Changed: <script>."}
    return plain({"pipeline": "<i>", "run": "run-1", "totals": totals, "drift": found}) | {
        "verdict": verdict, "against": {"against": "<u>last month</u>"},
    }  # fmt: skip


@pytest.mark.fault(29)
def test_the_page_of_500_features_is_below_2_mb_safe_and_always_the_same(tmp_path):
    record = page_record(500)
    page = render_monitor(record)
    assert len(page.encode()) < 2_000_000
    for hostile in ("<script", "<img", "<u>", "<i>", "<b>.parquet", "\x1b", "\u202e", "http:"):
        assert hostile not in page.replace("http://www.w3.org", "")
    assert "default-src 'none'" in page
    assert write_monitor(record, tmp_path).read_bytes() == page.encode()


def test_a_page_without_the_extra_says_which(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(NotInstalledError, match="report"):
        render_monitor({"verdict": {"outcome": "quiet", "text": ""}})
