"""Family 29: text that means harm, put together at random, wherever a name is shown."""

import copy
import csv
import itertools
import json
import random
import re
import unicodedata
from html.parser import HTMLParser

import pytest

from fintech_dl.evaluation import charts
from fintech_dl.evaluation.monitor_page import render_monitor
from fintech_dl.evaluation.report import render
from fintech_dl.scoring.export import export_scores
from tests.evaluation.test_monitoring import page_record
from tests.evaluation.test_report import EXAMPLE
from tests.faults.conftest import NIGHTLY, scaled
from tests.faults.world import PIPELINE, cards, loans, score_again, write

TEXTS = 20  # of a page
FIRST = ["", "=", "+", "-", "@", "\t=", "\r=", "\n", "\r\n", "\u2028", "\x85", "{{", "{%"]
FIRST += ["\x1b[2J", "\x1b]0;x\x07", "\x9b31m", "\x1b]8;;http://e.example\x1b\\", "\x00", "\x7f"]
FIRST += ["\u202e", "\u2066", "\u200f", "\u061c", "cmd|' /C calc'!A0"]
OUT = [
    "",
    '">',
    "'>",
    "-->",
    "]]>",
    "</title>",
    "</style>",
    "</svg>",
    "</td></table>",
    "&lt;",
    "%}",
]
TAGS = ["script", "img", "svg", "iframe", "a", "style", "object", "math", "base", "form", "meta"]
ATTRIBUTES = ["onerror", "onload", "href", "src", "style", "onfocus", "srcdoc", "formaction"]
SCHEMES = ["javascript:", "data:text/html,", "vbscript:", "file:///", "//e.example/", "j&#97;va:"]


def texts(seed, n=TEXTS):
    """Return so many different texts."""
    rng = random.Random(f"harm {seed}")
    found = []
    for number in range(n):
        tag, attribute, scheme = map(rng.choice, (TAGS, ATTRIBUTES, SCHEMES))
        tag = rng.choice([tag, tag.upper(), f"/{tag}"])
        quote = rng.choice(["", "'", '"', "`"])
        body = f"<{tag} {attribute}={quote}{scheme}alert({seed}.{number}){quote}>"
        found.append(rng.choice(FIRST) + rng.choice(OUT) + body + rng.choice(FIRST))
    return found


def commands(text):
    """Return what moves a cursor, breaks a line unasked or turns the direction of reading."""
    kinds = ("Cc", "Cf", "Zl", "Zp")
    return {char for char in text if char not in "\n\t" and unicodedata.category(char) in kinds}


class Elements(HTMLParser):
    """What a browser would make of a page: its elements, their attributes, and its text."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.elements, self.addresses, self.text = set(), set(), ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.elements |= {(tag, name) for name, _ in attrs}
        self.addresses |= {re.sub(r"^#.*", "#", v or "") for k, v in attrs if k in ("href", "src")}

    def handle_data(self, data):
        self.text += data


def check_page(page, sound, given):
    """No element, attribute or address that is not ours; each text is there as text."""
    found, ours = Elements(page), Elements(sound)
    assert found.elements <= ours.elements
    assert found.addresses <= ours.addresses
    assert not commands(page)
    for text in given:
        (number,) = re.findall(r"alert\(\d+\.\d+\)", text)
        assert number in found.text, text


@pytest.fixture
def undrawn(monkeypatch):
    """Draw charts at night alone: they take seconds."""
    if not NIGHTLY:
        monkeypatch.setattr(charts, "surface", lambda draw, alt, height=0: "<svg></svg>")


def replaced(part, turn):
    """Put the next text in the place of every text of a record."""
    for key, value in list(part.items() if isinstance(part, dict) else enumerate(part)):
        if isinstance(value, dict | list):
            replaced(value, turn)
        elif isinstance(value, str) and not value[:4].isdigit():
            part[key] = next(turn)


@pytest.mark.parametrize("seed", range(scaled(1, 3)))
def test_in_a_report(undrawn, tally, seed):
    given = texts(seed)
    record = copy.deepcopy(EXAMPLE)
    turn = itertools.cycle(given)
    replaced(record, turn)
    record["verdict"]["outcome"] = "same"
    record["data"]["quarantine_reasons"] = dict.fromkeys(given, 3)
    record["environment"] = {next(turn): next(turn) for _ in given}
    check_page(render(record), render(EXAMPLE), given)
    tally(29, TEXTS)


@pytest.mark.parametrize("seed", range(scaled(1, 3)))
def test_in_a_page_of_monitoring(undrawn, tally, seed):
    """As names of features, of their bins, of files, of the pipeline and of what it is beside."""
    given = texts(100 + seed)
    sound = page_record(scaled(4, 12))
    record = copy.deepcopy(sound)
    turn = itertools.cycle(given)
    for one in record["drift"]["features"]:
        one["name"] = next(turn)
        one["bins"]["bin"] = [next(turn) for _ in one["bins"]["bin"]]
    for one in record["drift"]["parts"]:
        one["part"], one["most_changed"] = next(turn), next(turn)
    record["pipeline"], record["against"]["against"] = next(turn), next(turn)
    record["verdict"]["text"] = " ".join(given)
    check_page(render_monitor(record), render_monitor(sound), given)
    tally(29, TEXTS)


def file_name(text):
    return re.sub(r"[/\x00]", "-", text)


@pytest.mark.parametrize("seed", range(scaled(1, 2)))
def test_in_a_spreadsheet(world, place, tally, seed):
    """As categories, as notes and as a file's name, of rows scored and of rows set aside."""
    given = texts(200 + seed)
    rows = loans(2 * TEXTS, seed=seed).assign(region=given * 2, note=given * 2)
    rows.loc[TEXTS:, "amount"] = -1.0
    write(rows, place / "in" / f"{file_name(given[0])}.parquet")
    assert score_again(world.artefact, place / "in", place / "out") is None
    for what in ("scores", "quarantine"):
        export_scores(place / "out", place / f"{what}.csv", what=what)
        with (place / f"{what}.csv").open(newline="", encoding="utf-8") as stream:
            head, *lines = csv.reader(stream)
        assert len(lines) == TEXTS
        for line in lines:
            assert len(line) == len(head)
            for cell in line:
                number = re.fullmatch(r"-?[\d.]+(e[+-]\d+)?", cell)
                assert number or cell[:1] not in tuple("=+-@\t\r\n"), cell
        if "note" in head:
            cells = [line[head.index("note")] for line in lines]
            shown = [cell.removeprefix("'") for cell in cells]
            assert [one.replace("\x00", "") for one in shown] == [
                one.removeprefix("'").replace("\x00", "") for one in given
            ]
    tally(29, TEXTS)


@pytest.mark.parametrize("seed", range(scaled(1, 8)))
def test_on_a_terminal(world, place, tally, command, monkeypatch, seed):
    """As a file that is not there, as a column, as a card's title, as an option's value."""
    given = texts(300 + seed, scaled(2, 5))
    frame = loans(5)
    for text in given:
        write(frame.rename(columns={"amount": text}), place / "new.parquet")
        title = json.dumps(text).replace("\x7f", "\\u007f")
        (place / "ask.toml").write_text(PIPELINE.replace('"Loans"', title, 1))
        out = ("-o", place / "out")
        said = {
            ("score", world.artefact, place / f"{file_name(text)}.csv", *out): 4,
            ("score", world.artefact, place / "new.parquet", *out): 4,
            ("run", "fraud", "--set", f"model__{text.replace(chr(0), '')}=1"): 2,
            ("show", place / "ask.toml"): 0,
        }
        with cards(world.artefact.parent / "cards"):
            for words, code in said.items():
                for mode in ("text", "json"):
                    monkeypatch.setenv("FINTECH_DL_LOG", mode)
                    done = command(*words)
                    assert done.code == code, (words, done.err)
                    assert not commands(done.out + done.err), (words, done.out, done.err)
                    for line in done.err.splitlines() if mode == "json" else ():
                        assert json.loads(line)["ts"]
        assert not (place / "out").exists()
    tally(29, len(given))
