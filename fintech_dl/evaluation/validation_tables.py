"""From the numbers of a validation to the tables of its report: plain cells, as in `tables`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fintech_dl.evaluation.reading import Record
from fintech_dl.evaluation.tables import Table, table
from fintech_dl.evaluation.wording import (
    MISSING,
    clean,
    count,
    interval,
    is_number,
    number,
    p_value,
    percent,
)

LIGHTS = {"green": "green", "amber": "amber", "red": "red", "none": MISSING}
MEASURES = {
    "gini": "Gini of a matured vintage, below",
    "score_psi": "PSI of the score against training, beyond chance and above",
    "feature_psi": "PSI of a feature against training, beyond chance and above",
    "approval_rate": "approval rate at the unchanged cut-off, off by more than",
    "default_rate": "Jeffreys p-value of a matured vintage or grade, below",
    "quarantined": "share of rows set aside by the data checks, above",
}


def of_models(models: Sequence[Record]) -> Table:
    """Return how well each model ranks: AUC by bootstrap and by DeLong, Gini, KS, and training."""
    one = all(len(m.get("delong") or []) == 1 for m in models)  # fold, of rows without weights
    rows = [
        [
            {"text": clean(m["name"], 60), "own": i == 0},
            _with_interval(m["roc_auc"]),
            *([_with_interval(m["delong"][0])] if one else []),
            _with_interval(m["gini"]),
            _with_interval(m["ks"]),
            number((m.get("train") or {}).get("gini"), 3),
        ]
        for i, m in enumerate(models)
    ]
    head = ["model", "AUC", *(["AUC, DeLong"] if one else []), "Gini", "KS", "Gini in training"]
    return table("Discrimination on test rows, with 95% intervals by bootstrap", head, rows)


def of_delong(models: Sequence[Record]) -> Table | None:
    """Return the DeLong tests against each rival, fold by fold."""
    rows = [
        [
            clean(m["name"], 60),
            str(fold),
            number(d["value"], 3, sign=True),
            interval(d["low"], d["high"], 3, sign=True) or MISSING,
            p_value(d["p_value"]),
        ]
        for m in models[1:]
        for fold, d in enumerate(m.get("delong_difference") or [], 1)
    ]
    head = ["rival", "fold", "AUC, model minus rival", "95% interval", "p-value"]
    return (
        table("The same by DeLong's test, rows taken as independent", head, rows) if rows else None
    )


def of_swap(given: Record) -> Table | None:
    """Return the swap set: who is approved by one model and declined by the other."""
    names = {
        "in/in": "approved by both",
        "in/out": "approved by the model only",
        "out/in": "approved by the rival only",
        "out/out": "declined by both",
    }
    losses = any(is_number(c.get("loss")) for c in given.get("cells") or [])
    rows = [
        [
            names[c["cell"]],
            count(c["rows"]),
            count(c["bads"]),
            percent(c["share"]),
            _share(c, "bad_rate"),
            *([count(c.get("loss"))] if losses else []),
        ]
        for c in given.get("cells") or []
    ]
    head = ["", "rows", "bads", "share", "bad rate", *(["lost"] if losses else [])]
    title = f"Swap set with {clean(given.get('name'), 60)}, both approving the same share"
    return table(title, head, rows) if rows else None


def of_lift(lines: Sequence[Record]) -> Table:
    """Return the lift by tenth of the rows, riskiest first."""
    rows = [
        [
            str(d["bin"]),
            count(d["rows"]),
            count(d["positives"]),
            _share(d, "rate"),
            number(d["lift"], 2),
            percent(d["cumulative_captured"], 0),
        ]
        for d in lines
    ]
    head = ["tenth", "rows", "bads", "bad rate", "lift", "bads caught so far"]
    return table("Lift, the riskiest tenth first", head, rows)


def of_tests(given: Record) -> Table:
    """Return the tests of calibration and the parts of the Brier score."""
    rows: list[list[Any]] = []
    whole = given["portfolio"][0]
    rows.append(
        [
            "Default rate (Jeffreys, one-sided)",
            percent(whole["observed"]),
            f"predicted {percent(whole['mean_pd'])}, 95% interval of the rate "
            f"{percent(whole['low'])} to {percent(whole['high'])}",
            p_value(whole["jeffreys_p"]),
        ]
    )
    for key, name, said in (
        ("hosmer_lemeshow", "Hosmer-Lemeshow", "statistic over {df} groups"),
        ("spiegelhalter", "Spiegelhalter", "z of the Brier score"),
    ):
        if test := given.get(key):
            text = said.format(df=test["df"])
            rows.append([name, number(test["statistic"], 2), text, p_value(test["p_value"])])
    says = {
        "brier": "mean squared error of the probabilities",
        "reliability": "of it: groups that do not come true; 0 is best",
        "resolution": "taken off: how far groups lie apart; more is better",
        "uncertainty": "of it: in the outcome itself",
    }
    for key, text in says.items():
        name = "Brier score" if key == "brier" else upper(key)
        rows.append([name, number(given["brier"][key], 4), text, ""])
    return table("Tests of calibration", ["", "value", "", "p-value"], rows, (1, 3))


def of_grades(lines: Sequence[Record]) -> Table:
    """Return what happened grade by grade, those with rows only."""
    rows = [
        [
            clean(d["grade"], 20),
            f"{percent(d['lower'])} to {percent(d['upper'])}",
            count(d["rows"]),
            count(d["defaults"]),
            percent(d["mean_pd"]),
            _share(d, "observed"),
            p_value(d["jeffreys_p"]),
            LIGHTS.get(str(d["light"]), MISSING),
        ]
        for d in lines
        if d["rows"]
    ]
    head = ["grade", "PD", "rows", "defaults", "mean PD", "default rate", "Jeffreys p", "light"]
    return table("Rating grades", head, rows, (2, 3, 4, 5, 6))


def of_cutoffs(given: Record) -> Table:
    """Return what other cut-offs would do."""
    chosen = given["chosen"][0]
    others = [d for d in given["table"] if d["cutoff"] != chosen["cutoff"]]
    lines = sorted([*others, chosen], key=lambda d: d["cutoff"])
    money = is_number(chosen.get("loss"))
    rows = []
    for d in lines:
        cells = [percent(d[k]) for k in ("approval_rate", "bad_rate_approved")]
        cells += [percent(d[k]) for k in ("bad_rate_declined", "captured_bads")]
        cells += [count(d["expected_loss"]), count(d["loss"])] if money else []
        rows.append([{"text": percent(d["cutoff"], 2), "own": d == chosen}, *cells])
    head = ["PD below", "approved", "bad rate, approved", "bad rate, declined", "bads declined"]
    head += ["expected loss", "lost"] if money else []
    return table("Cut-offs; the chosen one stands out", head, rows)


def of_segments(lines: Sequence[Record], caption: str) -> Table:
    """Return segments or vintages: rate, what was predicted, Gini, and a remark."""
    rows = [
        [
            clean(d["segment"], 60),
            count(d["rows"]),
            count(d["positives"]),
            _share(d, "rate"),
            percent(d["mean_pd"]),
            {
                "text": number(d["gini"], 3),
                "sub": interval(d["gini_low"], d["gini_high"], 2),
            },
            remark(d, lines[0]),
        ]
        for d in lines
    ]
    head = ["", "rows", "bads", "default rate", "mean PD", "Gini", "remark"]
    return table(caption, head, rows, range(1, 6))


def remark(segment: Record, whole: Record) -> str:
    """Return what is weak about a segment, by rule: an interval that leaves the expected out."""
    found = [clean(segment["note"], 120)] if segment.get("note") else []
    low, high = segment.get("gap_low"), segment.get("gap_high")
    if is_number(low) and low > 0:
        found.append("risk understated")
    if is_number(high) and high < 0:
        found.append("risk overstated")
    return "; ".join(
        [*found, *(["ranks worse than overall"] if _ranks_worse(segment, whole) else [])]
    )


def weak(segment: Record, whole: Record) -> str:
    """Return in what a segment is worse than all rows together, by rule; empty if in nothing."""
    gap, low, high = (whole.get("gap") or 0.0), segment.get("gap_low"), segment.get("gap_high")
    found = ["ranks worse"] if _ranks_worse(segment, whole) else []
    if is_number(low) and low > max(gap, 0.0):
        found.append("risk understated more")
    if is_number(high) and high < min(gap, 0.0):
        found.append("risk overstated more")
    return ", ".join(found)


def _ranks_worse(segment: Record, whole: Record) -> bool:
    high, overall = segment.get("gini_high"), whole.get("gini")
    return is_number(high) and is_number(overall) and high < overall


def of_sensitivity(lines: Sequence[Record]) -> Table:
    """Return what a change of each feature does."""
    rows = [
        [
            clean(d["feature"], 80),
            clean(d["change"], 40).replace("-", "−"),  # noqa: RUF001
            percent(d["changed"], 0),
            number(d["auc_change"], 3, sign=True),
            points(d["approval_change"]),
            points(d["mean_change"]),
        ]
        for d in lines
    ]
    head = ["feature", "change", "rows changed", "AUC", "approvals, points", "mean PD, points"]
    return table("What a change of one feature does", head, rows, range(2, 6))


def of_fairness(lines: Sequence[Record], attribute: str) -> Table:
    """Return how the groups of one attribute fare."""
    rows = []
    for d in lines:
        name = f"{clean(d['group'], 60)}{' (compared with)' if d['is_reference'] else ''}"
        under = " below 4/5" if d["below_four_fifths"] else ""
        ratio = number(d["adverse_impact_ratio"], 2)
        ends = interval(d["air_low"], d["air_high"], 2)
        rows.append(
            [
                name,
                count(d["count"]),
                count(d["bads"]),
                percent(d["selection_rate"]),
                {"text": ratio + under, "sub": "" if d["is_reference"] else ends},
                _gap(d, "equal_opportunity_gap"),
                number(d["smd"], 2, sign=True),
                _calibration_gap(d),
                clean(d["note"], 160),
            ]
        )
    head = ["group", "rows", "bads", "approved", "ratio", "goods", "SMD", "gap", "remark"]
    return table(f"By {clean(attribute, 60)}", head, rows, range(1, 8))


def of_features(lines: Sequence[Record], caption: str) -> Table:
    """Return the stability of each feature."""
    rows = [
        [
            clean(d["feature"], 80),
            number(d["psi"], 4),
            number(d["chance_95"], 4),
            "yes" if d["beyond_chance"] else "no",
            clean(d["rule_of_thumb"], 20),
            percent(d["missing_expected"]),
            percent(d["missing_actual"]),
        ]
        for d in lines
    ]
    head = ["feature", "PSI", "by chance up to", "beyond chance", "rule of thumb"]
    head += ["missing, training", "missing, test"]
    return table(caption, head, rows, (1, 2, 5, 6))


def of_vintage_shift(lines: Sequence[Record]) -> Table:
    """Return the PSI of each vintage, of the score and of the feature that changed most."""
    rows = []
    for d in lines:
        worst = max(d["features"], key=lambda name: d["features"][name] or 0.0)
        rows.append(
            [
                clean(d["vintage"], 20),
                count(d["rows"]),
                number(d["psi"], 4),
                number(d["chance_95"], 4),
                "yes" if d["beyond_chance"] else "no",
                f"{clean(worst, 60)} {number(d['features'][worst], 3)}",
            ]
        )
    head = ["vintage", "rows", "PSI of the score", "by chance up to", "beyond chance"]
    return table("Vintages against training", [*head, "most changed feature"], rows, (1, 2, 3))


def of_triggers(lines: Sequence[Record]) -> Table:
    """Return the plan of triggers."""
    rows = []
    for d in lines:
        shown = SHOWN.get(d["measure"], _three)
        off = [points(d[k]).lstrip("+") + " points" for k in ("watch", "act")]
        watch, act = off if d["measure"] == "approval_rate" else [shown(d[k]) for k in _ENDS]
        name = MEASURES.get(d["measure"], clean(d["measure"], 60))
        rows.append([name, shown(d["normal"]), watch, act])
    return table("Proposed triggers", ["measure", "in this run", "watch", "act"], rows)


_ENDS = ("watch", "act")


def points(share: Any) -> str:
    """Return a difference of shares in percentage points, with a sign."""
    if not is_number(share):
        return MISSING
    text = f"{100 * share:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")  # noqa: RUF001


def upper(text: str) -> str:
    """Return a key of the record as the head of a line."""
    return text.replace("_", " ").capitalize()


SHOWN: dict[str, Callable[[Any], str]] = {
    "quarantined": percent,
    "approval_rate": percent,
    "default_rate": p_value,
}


def _three(value: Any) -> str:
    return number(value, 3)


def _with_interval(given: Record) -> Record:
    return {
        "text": number(given["value"], 3),
        "sub": interval(given["low"], given["high"], 2),
    }


def _share(line: Record, key: str) -> Any:
    """Return a share with its interval, which stands beside it or bears its name."""
    low, high = (line.get(f"{key}_{end}", line.get(end)) for end in ("low", "high"))
    ends = f"[{percent(low)}, {percent(high)}]" if is_number(low) and is_number(high) else ""
    return {"text": percent(line[key]), "sub": ends}


def _calibration_gap(line: Record) -> Record:
    """Return default rate less mean PD with the interval of the rate, less the mean PD."""
    low, high = line["observed_low"], line["observed_high"]
    ends = ""
    if is_number(low) and is_number(high):
        ends = f"[{points(low - line['mean_pd'])}, {points(high - line['mean_pd'])}]"
    return {"text": points(line["calibration_gap"]), "sub": ends}


def _gap(line: Record, key: str) -> Record:
    low, high = line.get(f"{key}_low"), line.get(f"{key}_high")
    ends = f"[{points(low)}, {points(high)}]" if is_number(low) and is_number(high) else ""
    return {"text": points(line[key]), "sub": "" if line["is_reference"] else ends}
