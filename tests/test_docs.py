"""The reference leaves out no public name; `make docs` builds it with warnings as errors."""

import re
from pathlib import Path

import pytest

import fintech_dl

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in DOCS.glob("*.rst")}
DIRECTIVE = re.compile(r"^ *\.\. auto(?:class|function|decorator):: (?:fintech_dl\.)?(\w+)$", re.M)


@pytest.mark.parametrize(("name", "home"), fintech_dl._HOME.items())
def test_every_public_name_has_its_place(name, home):
    floor = home.split(".")[0]
    named = any(name in DIRECTIVE.findall(text) for text in PAGES.values())
    assert named or any(f"public.{floor}" in text for text in PAGES.values())


def test_every_page_is_in_the_contents():
    contents = re.findall(r"^   (\w+)$", PAGES["index"], re.M)
    assert {*contents, "index"} == PAGES.keys()
