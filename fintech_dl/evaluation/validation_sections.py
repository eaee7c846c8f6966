"""The fifteen sections of a model validation report: what stands in each, and what people say.

A section is a dict: ``id``, ``title``, ``serves`` (what it is evidence for), ``says`` (what people
have to say: label, text or nothing) and ``blocks``: what the run has found. A block is a dict with
one of ``text``, ``pairs``, ``table``, ``figures`` or ``fold`` (a summary, with ``tables``).
"""

from __future__ import annotations

from fintech_dl.cards.validation import STATEMENTS
from fintech_dl.evaluation import standings, tables
from fintech_dl.evaluation import validation_findings as findings
from fintech_dl.evaluation import validation_tables as made
from fintech_dl.evaluation.blocks import Block, charted, folded, pairs, said, tabled
from fintech_dl.evaluation.reading import Record
from fintech_dl.evaluation.wording import (
    clean,
    count,
    general,
    is_number,
    moment,
    number,
    p_value,
    percent,
    sentence,
)

SECTIONS = (  # id, title, evidence for, statements
    (
        "use",
        "Inventory, owner and use",
        "governance",
        ("inventory_id", "owner", "tier", "intended_use", "prohibited_use"),
    ),
    (
        "data",
        "Data, target and leaks",
        "conceptual soundness",
        ("target_definition", "representativeness"),
    ),
    ("method", "Method, and its simple rivals", "conceptual soundness", ("assumptions",)),
    ("search", "Search, seeds and repetition", "conceptual soundness", ()),
    ("performance", "Out of sample and out of time", "outcomes analysis", ()),
    ("calibration", "Ranking, calibration and cut-off", "outcomes analysis", ()),
    ("sensitivity", "Sensitivity, weak segments, overfitting", "conceptual soundness", ()),
    ("importance", "What the model looks at", "conceptual soundness", ()),
    ("fairness", "Fairness", "outcomes analysis", ("less_discriminatory_alternatives",)),
    ("reasons", "Reasons for a decline", "conceptual soundness", ()),
    (
        "stability",
        "Stability, monitoring and fallback",
        "ongoing monitoring",
        ("monitoring", "fallback"),
    ),
    ("parity", "Scoring as tested", "implementation and use", ()),
    ("limits", "Limits, overrides and overlays", "governance", ("overrides", "overlays")),
    ("security", "Security and digests", "implementation and use", ()),
    (
        "sign_off",
        "Challenge, changes and sign-off",
        "governance",
        ("effective_challenge", "change_log", "sign_off"),
    ),
)

PROOF = {
    "reason": "Why not",
    "rows": "Hard rows tried",
    "of": "Compared",
    "tolerance": "Allowed relative difference",
    "max_rel": "Largest relative difference",
    "flips": "Decisions that differ",
    "backend": "Compared with the backend",
}


def sections(record: Record) -> list[Record]:
    """Return the fifteen sections of the report, in order."""
    given = record.get("validation") or {}
    told = given.get("statements") or {}
    return [
        {
            "number": i,
            "id": key,
            "title": title,
            "serves": serves,
            "says": [(STATEMENTS[k], clean(told.get(k), 4000)) for k in asked],
            "blocks": [block for block in _BLOCKS[key](record, given) if block],
        }
        for i, (key, title, serves, asked) in enumerate(SECTIONS, 1)
    ]


def _use(record: Record, given: Record) -> list[Block]:
    model: Record = next(iter(record.get("models") or []), {})
    return [
        pairs(
            ("Pipeline", clean(record.get("pipeline"), 80)),
            ("Question", clean(record.get("question"))),
            ("Model", clean(model.get("title"), 80)),
            ("Run of", moment(record.get("created"))),
            ("Features", count(len(record.get("features") or []))),
            (
                "Cut-off",
                f"PD below {percent(given['cutoff']['chosen'][0]['cutoff'], 2)} is approved",
            ),
        )
    ]


def _data(record: Record, given: Record) -> list[Block]:
    found, spec, protocol = tables.data(record), given.get("table") or {}, tables.protocol(record)
    d, leak = found.get("given") or {}, given["leakage"]
    delay = spec.get("delay_days")
    target = clean(spec.get("target"), 80)
    target += f" = {clean(spec['positive'], 80)}" if spec.get("positive") else ""
    alone = [
        [clean(x["feature"], 80), number(x["auc"], 3), "too good?" if x["suspicious"] else ""]
        for x in leak["alone"][:10]
    ]
    blocks = [
        pairs(
            ("Dataset", clean(d.get("title") or d.get("name"))),
            ("Origin", clean(d.get("origin"), 2000)),
            ("Licence", clean(d.get("licence"))),
            ("SHA-256 of the file", clean(d.get("sha256"))),
            ("Made by", clean(d.get("generator"), 2000)),
            (
                "Period",
                f"{moment(d['time_from'])} to {moment(d['time_to'])}" if d.get("time_from") else "",
            ),
            ("Rows read", count(d.get("rows_read"))),
            ("Set aside by the data checks", count(d.get("rows_quarantined"))),
            ("Target", target),
            ("Known after", f"{general(delay)} days" if delay is not None else ""),
            ("Share of bads", percent(d.get("positive_rate"))),
            (
                "Kept from the model",
                general([*(spec.get("protected") or []), *(spec.get("aside") or [])]),
            ),
        ),
        *({"text": f"Set aside: {name} ({n})."} for name, n in found.get("reasons") or []),
        said(protocol.get("text")),
        charted(protocol.get("figures")),
        tabled(protocol.get("table")),
        said(_leaks(leak)),
        tabled(
            tables.table(
                "Strongest features alone, on test rows", ["feature", "AUC alone", ""], alone, (1,)
            )
        ),
    ]
    return blocks


def _leaks(leak: Record) -> str:
    """Return in words what was looked for, and found."""
    found = {
        True: (
            "Every training row was decided before the first test row",
            "every training label was known by then",
        ),
        False: (
            "TRAINING ROWS ARE NOT ALL EARLIER than the test rows",
            "SOME TRAINING LABELS WERE NOT KNOWN when the test began",
        ),
        None: (
            "Rows have no times, so that the order of training and test cannot be shown",
            "labels have no dates",
        ),
    }
    among = leak["protected"]
    return (
        f"{found[leak['trained_before']][0]}; {found[leak['labels_known']][1]}. "
        f"{percent(leak['repeated'])} of the test rows repeat the features of a training row. "
        f"Protected attributes among the features: {', '.join(among) if among else 'none'}."
    )


def _method(record: Record, given: Record) -> list[Block]:
    results, swap = standings.results(record), given.get("challenger") or {}
    settings = (tables.training(record) or {}).get("settings") or []
    gap = swap.get("difference") or {}
    told = ""
    if is_number(gap.get("value")):
        told = (
            f"Approving as many, {clean(swap['name'], 60)} would change the bad rate among the "
            f"approved by {made.points(gap['value'])} points"
        )
        if is_number(gap.get("low")):
            ends = f"{made.points(gap['low'])} to {made.points(gap['high'])}"
            told += f" (95% interval {ends}, p {p_value(gap['p_value'])})"
        told += "."
    return [
        said(
            standings.verdict(record)["text"]
            or "No simple rival was declared: nothing shows that the network is worth its effort."
        ),
        tabled(results.get("table")),
        tabled(results.get("tests")),
        tabled(made.of_delong(given["discrimination"]["models"])),
        said(told or (swap and f"No swap set: {clean(swap.get('reason'))}")),
        tabled(made.of_swap(swap)),
        folded("Settings of the network", inside=settings),
    ]


def _search(record: Record, given: Record) -> list[Block]:
    found = tables.search(record)
    blocks = [said("No search: the parameters are those of the card.")]
    if found:
        blocks = [
            said(
                f"{count(found['given'].get('tried'))} trials, judged by {found['metric']} on rows "
                f"from before every test. {found['gain']}"
            ),
            charted(found["figures"]),
            tabled(found["table"]),
        ]
    environment = [(clean(k, 60), general(v)) for k, v in (record["environment"] or {}).items()]
    command = f"fintech-dl run {clean(record.get('pipeline'), 80)} --seed {record.get('seed')}"
    return [
        *blocks,
        pairs(
            ("Seed of everything random", str(record.get("seed"))),
            ("Run it again", f"{command}, with the same --set and --dataset, if there were any"),
        ),
        said(
            "The same seed, rows and versions are meant to give the same model again. That "
            "second run has not been made here: whoever validates makes it."
        ),
        folded("Versions and machine", inside=environment),
    ]


def _parity(record: Record, given: Record) -> list[Block]:
    proof = given.get("parity")
    if not proof:
        return [said("The model has no graph to prove: it is scored by the code that was tested.")]
    told = "gives the model's own scores" if proof.get("passed") else "FAILED the proof"
    listed = [(name, general(proof[key])) for key, name in PROOF.items() if key in proof]
    return [
        said(
            f"The test rows were scored with the files that will score new rows. The graph {told}."
        ),
        pairs(*listed),
    ]


def _limits(record: Record, given: Record) -> list[Block]:
    limits = [*(record.get("limits") or []), *((record.get("data") or {}).get("limits") or [])]
    return [{"points": [sentence(text) for text in dict.fromkeys(limits)]}] if limits else []


def _security(record: Record, given: Record) -> list[Block]:
    files = given.get("artefact") or {}
    rows = [
        [clean(name, 80), count(f["bytes"]), {"text": clean(f["sha256"], 64), "keep": False}]
        for name, f in files.items()
    ]
    told = (
        "The artefact holds data, no code; a changed byte is refused when it is loaded."
        if rows
        else "The run kept no artefact."
    )
    return [
        said(told),
        tabled(tables.table("Files of the artefact", ["file", "bytes", "SHA-256"], rows, (1,)))
        if rows
        else {},
    ]


def _sign_off(record: Record, given: Record) -> list[Block]:
    return []


_BLOCKS = {
    "use": _use,
    "data": _data,
    "method": _method,
    "search": _search,
    "performance": findings.performance,
    "calibration": findings.calibration,
    "sensitivity": findings.sensitivity,
    "importance": findings.importance,
    "fairness": findings.fairness,
    "reasons": findings.reasons,
    "stability": findings.stability,
    "parity": _parity,
    "limits": _limits,
    "security": _security,
    "sign_off": _sign_off,
}
