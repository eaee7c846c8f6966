"""The last word of a test run: how many faults of each family were met, and what that proves."""

from collections import Counter

import pytest

TRIED = "fintech-dl faults"  # key of the reports' properties
NAMES = {
    1: "kill -9 at each failpoint",
    2: "exception or full disk at each failpoint",
    3: "kill -9 at random moments",
    4: "kill -9 of group, parent, worker",
    5: "SIGTERM, SIGINT, SIGHUP",
    6: "concurrent runs of one key",
    7: "concurrent runs of several keys",
    10: "corrupt input",
    11: "corrupt files of our own",
    12: "schema drift",
    13: "odd values",
    14: "duplicate keys",
    15: "sizes",
    16: "clocks and time zones",
    17: "input changed while running",
    18: "tampered artefacts",
    19: "hostile archives",
    20: "hostile Keras files",
    21: "pickles wherever a file is read",
    22: "hostile ONNX files",
    23: "limits and permissions",
    24: "fork, threads, start methods",
    25: "Ray",
    26: "databases",
    27: "graphs equal their networks",
    28: "determinism",
    29: "text that means harm",
    30: "statistics against references",
}
DRAWN = (3, 4, 6, 7, 10, 11, 13, 25, 27, 30)  # at random: of these a bound can be given


def pytest_itemcollected(item: pytest.Item) -> None:
    """Count a test that is marked ``fault(family, times=1, drawn=False)`` and lies elsewhere."""
    for mark in item.iter_markers("fault"):
        (family,), more = mark.args, mark.kwargs
        assert family in NAMES
        told = (family, more.get("times", 1), more.get("drawn", False))
        item.user_properties.append((TRIED, told))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the number of cases of each family; of drawn ones what it proves at most."""
    done: Counter[int] = Counter()
    drawn: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for key, value in getattr(report, "user_properties", []):
                if key == TRIED:
                    family, times, at_random = value
                    (done if outcome == "passed" else failed)[family] += times
                    if at_random and outcome == "passed":
                        drawn[family] += times
    if not done and not failed:
        return
    terminalreporter.section("faults")
    for family in sorted({*done, *failed}):
        n, wrong = done[family], failed[family]
        line = f"{family:>2}  {NAMES[family]:<42} {n:>6,}"
        if wrong:
            line += f"  and tests of {wrong:,} more FAILED"
        elif drawn[family]:
            bound = f"at most {min(3 / drawn[family], 1):.2%} do (95 % bound)"
            line += f"  none of {drawn[family]:,} drawn ones failed: {bound}"
        terminalreporter.write_line(line)
