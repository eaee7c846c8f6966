"""What the statistics of a validation say, section by section: see `validation_sections`."""

from __future__ import annotations

from fintech_dl.evaluation import figures, standings, tables
from fintech_dl.evaluation import validation_figures as drawn
from fintech_dl.evaluation import validation_tables as made
from fintech_dl.evaluation.blocks import Block, charted, folded, pairs, said, tabled
from fintech_dl.evaluation.reading import Record, words
from fintech_dl.evaluation.wording import clean, count, is_number, number, percent

YOUNG = "Vintages after the test, told apart: their defaults had too little time to show"


def performance(record: Record, given: Record) -> list[Block]:
    """Return how well the model ranked rows it had not seen, all and by vintage."""
    before, vintages = given["leakage"]["trained_before"], given.get("vintages")
    young = given.get("apart")
    results = standings.results(record)
    told = {
        True: "Out of time: the model was tested on rows decided after all it learned from.",
        False: "Out of sample, but NOT out of time: it also learned from rows later than the test.",
        None: "Out of sample only: rows have no times, so that there is no test out of time, and "
        "there are no vintages.",
    }
    ranks = [
        [
            clean(d["period"], 20),
            count(d["grades"]),
            number(d["tau"], 2),
            number(d["tau_before"], 2),
        ]
        for d in given.get("ranks") or []
    ]
    head = ["vintage", "grades", "order of grades", "against vintage before"]
    return [
        said(told[before]),
        tabled(made.of_models(given["discrimination"]["models"])),
        *(tabled(t) for t in results.get("folds") or []),
        charted([drawn.gini_by(vintages, "Gini by vintage")] if vintages else []),
        tabled(made.of_segments(vintages, "By vintage") if vintages else None),
        tabled(made.of_segments(young, YOUNG) if young else None),
        tabled(
            tables.table(
                "Whether worse grades defaulted more (Kendall's tau, 1 is yes)", head, ranks
            )
            if ranks
            else None
        ),
    ]


def calibration(record: Record, given: Record) -> list[Block]:
    """Return ranking, calibration by grade, and what the cut-off does."""
    calibration, cut = given["calibration"], given["cutoff"]["chosen"][0]
    order = {True: "The default rate rises from grade to grade.", None: ""}
    falls = ", ".join(f"{a} to {b}" for a, b in calibration["reversals"])
    told = order.get(calibration["monotone"], f"The default rate falls from grade {falls}.")
    lost = ""
    if is_number(cut.get("loss")):
        lost = (
            f"; expected loss {count(cut['expected_loss'])}, lost {count(cut['loss'])}, "
            f"with an LGD of {percent(given['cutoff']['lgd'])}"
        )
    return [
        charted([drawn.cap(given["discrimination"]["models"]), figures.calibration_figure(record)]),
        tabled(made.of_lift(given["discrimination"]["lift"])),
        tabled(made.of_tests(calibration)),
        said(
            f"{told} Concentration of the grades (Herfindahl): "
            f"{number(calibration['herfindahl'], 3)}. A light warns of risk understated, not of "
            "risk overstated."
        ),
        charted([drawn.grades(calibration["grades"]), drawn.cutoffs(given["cutoff"])]),
        tabled(made.of_grades(calibration["grades"])),
        said(
            f"At the chosen cut-off {percent(cut['approval_rate'])} are approved, "
            f"{percent(cut['bad_rate_approved'])} of them bad, against "
            f"{percent(cut['bad_rate_declined'])} of the declined{lost}."
        ),
        tabled(made.of_cutoffs(given["cutoff"])),
    ]


def sensitivity(record: Record, given: Record) -> list[Block]:
    """Return what small changes of the inputs do, weak segments, and the gap to training."""
    lines, segments = given.get("sensitivity") or [], given.get("segments") or {}
    weak = [
        f"{clean(name, 60)} {clean(d['segment'], 60)} ({why})"
        for name, found in segments.items()
        for d in found[1:]
        if (why := made.weak(d, found[0]))
    ]
    told = "No segments are declared." if not segments else ""
    if segments:
        told = (
            f"Weak segments: {'; '.join(weak)}."
            if weak
            else "No declared segment is weaker than all rows together."
        )
    return [
        said(
            "Each number of the test rows is raised and lowered by a tenth, special codes left "
            "alone; each category is set to the most frequent one."
            if lines
            else ""
        ),
        charted([drawn.approvals(lines)]),
        tabled(made.of_sensitivity(lines) if lines else None),
        said(told),
        *(
            tabled(made.of_segments(found, f"By {clean(name, 60)}"))
            for name, found in segments.items()
        ),
        said(
            "Overfitting: the metrics on training rows less those on test rows, beside the same "
            "of the simple rivals."
        ),
        tabled((tables.training(record) or {}).get("gap")),
    ]


def importance(record: Record, given: Record) -> list[Block]:
    """Return what the model looks at."""
    found = tables.importance(record)
    return [
        said("No importance was measured." if not found else ""),
        charted(found.get("figures")),
        *(tabled(t) for t in [*(found.get("beside") or []), found.get("below")]),
    ]


def fairness(record: Record, given: Record) -> list[Block]:
    """Return how the cut-off treats the groups of each protected attribute."""
    lines = given.get("fairness") or []
    if not lines:
        return [said("No protected attribute is declared: nothing can be said of fairness.")]
    blocks = [
        said(
            "Protected attributes serve this test only; none is a feature. Approval is the "
            "wished-for result. Ratio: share approved, divided by that of the group compared with; "
            "goods: share of the goods approved, less the other's, in points; SMD: by how many "
            "standard deviations the mean PD lies above the other's; gap: default rate less mean "
            "PD, in points, below 0 for a group judged too harshly. Nothing is claimed of a group "
            "of fewer than 30 rows. Which difference matters, and which law applies, is for people "
            "to say."
        ),
    ]
    for name in dict.fromkeys(d["sensitive_feature"] for d in lines):
        own = [d for d in lines if d["sensitive_feature"] == name]
        blocks += [charted([drawn.impact(own, name)]), tabled(made.of_fairness(own, name))]
    return blocks


def reasons(record: Record, given: Record) -> list[Block]:
    """Return whether reasons for a decline add up and stay the same."""
    found = given.get("reasons") or {"reason": "they were not measured"}
    if "reason" in found:
        return [said(f"No evidence on reasons: {clean(found['reason'], 600)}.")]
    first = found["first"]
    texts = any(d.get("text") for d in first)
    rows = [
        [clean(d["feature"], 80), *([clean(d["text"])] if texts else []), percent(d["share"], 0)]
        for d in first[:10]
    ]
    head = ["feature", *(["told as"] if texts else []), "of the declined"]
    among = ", ".join(found["protected"]) or "none"
    held = "add up" if found["complete"] else "DO NOT ADD UP"
    usual, best = found["references"]
    compared = (found["between_halves"], found["between_references"], found.get("between_members"))
    agreed = [
        f"first {percent(d['same_first'], 0)}, all of them {percent(d.get('overlap'), 0)}, by rank "
        f"(rank-biased overlap) {number(d['rank_biased'], 2)}"
        if d
        else "not compared: a single network has one seed; `n_members` trains more"
        for d in compared
    ]
    several = f"each of {n} members" if (n := found.get("members", 1)) > 1 else "other seeds"
    return [
        said(
            f"Method: {clean(found['method'])}, against {usual}, at most {found['most']} reasons; "
            f"tried on {count(found['rows'])} declined rows. Which row to compare with is a choice "
            "to be declared: reasons by another one may differ, as shown."
        ),
        pairs(
            ("Contributions", f"{held}: off by {found['completeness']:.1g} at most (log odds)"),
            ("Declined without a reason", percent(found["unexplained"])),
            ("Same reasons if that row is of half as many", agreed[0]),
            (f"Same reasons against {best}", agreed[1]),
            (f"Same reasons by {several}", agreed[2]),
            ("Protected attributes among them", among),
        ),
        tabled(tables.table("First reasons", head, rows, [len(head) - 1])),
    ]


def stability(record: Record, given: Record) -> list[Block]:
    """Return drift from training to test, and from when on to act in use."""
    found = given["stability"]
    score, w = found["score"], words(record)
    beyond = "more than chance gives" if score["beyond_chance"] else "no more than chance gives"
    features, vintages = found["features"], found["vintages"]
    top = made.of_features(features[:10], "Most changed features, training against test")
    return [
        said(
            f"PSI of the score, {count(found['rows_expected'])} training against "
            f"{count(found['rows_actual'])} test {w['rows']}: {number(score['psi'], 4)} "
            f"({clean(score['rule_of_thumb'])} by the rule of thumb of 0.10 and 0.25; by chance "
            f"alone it stays below {number(score['chance_95'], 4)} 95 times in 100): {beyond}."
        ),
        tabled(top),
        folded(
            f"The other {len(features) - 10}", [made.of_features(features[10:], "Other features")]
        )
        if len(features) > 10
        else {},
        tabled(made.of_vintage_shift(vintages) if vintages else None)
        or said("Rows have no times: there are no vintages to compare."),
        said("Proposed for use, from what this run saw; it is for people to set them."),
        tabled(made.of_triggers(given.get("triggers") or [])),
    ]
