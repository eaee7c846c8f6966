"""The report in a real browser: asks for nothing, runs nothing, reads well, on paper too.

Needs an installed Chromium or Chrome; nothing is downloaded.
"""

import copy
import os
import runpy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fintech_dl.evaluation.report import render

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium or Chrome is installed")

EXAMPLE = Path(__file__).parent / "evaluation" / "record_example.py"
FORECASTS = EXAMPLE.with_name("forecast_record.py")
SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
A4 = 673  # CSS pixels between the margins of the printed page
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)' style='position:fixed",
    "</style></svg></title><script>alert(1)</script>",
    "\N{PILE OF POO}\N{REGIONAL INDICATOR SYMBOL LETTER U}\N{REGIONAL INDICATOR SYMBOL LETTER S}",
    "w" * 1000,
    "https://evil.example/" + "a_b" * 300,
]

# Of every text that is shown: what it says, its size in pixels of the screen, and its contrast
# with the background behind it, as WCAG 2 defines it.
TEXTS = """() => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
  const brush = canvas.getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    brush.clearRect(0, 0, 1, 1); brush.fillStyle = colour; brush.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = (rgb) => rgb.map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement)
      layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement, text = node.textContent.trim();
    if (!text || element.closest("title")) continue;
    if (!element.checkVisibility({visibilityProperty: true})) continue;
    const style = getComputedStyle(element), drawn = element instanceof SVGElement;
    const matrix = drawn ? element.getScreenCTM() : null;
    const scale = drawn ? Math.sqrt(Math.abs(matrix.a * matrix.d - matrix.b * matrix.c)) : 1;
    const below = behind(element), ink = over(rgba(drawn ? style.fill : style.color), below);
    const [high, low] = [light(ink), light(below)].sort((a, b) => b - a);
    found.push({text: text.slice(0, 60), drawn, pixels: parseFloat(style.fontSize) * scale,
                contrast: (high + 0.05) / (low + 0.05)});
  }
  return found;
}"""

# What sticks out of the window without lying in a box of its own that scrolls.
OUTSIDE = """(width) => [...document.body.querySelectorAll("*")]
  .filter(e => e.checkVisibility() && !e.closest(".scroll *, nav *, svg *"))
  .filter(e => e.getBoundingClientRect().right > width + 1 || e.getBoundingClientRect().left < -1)
  .map(e => `${e.tagName} ${e.className} ${e.textContent.trim().slice(0, 60)}`)"""

TABLES = """() => [...document.querySelectorAll("table")].map(table => {
  const box = table.closest(".scroll"), style = box && getComputedStyle(box);
  return box && ["auto", "scroll"].includes(style.overflowX) && box.clientWidth <= innerWidth
    && (box.scrollWidth <= box.clientWidth || box.tabIndex === 0) && !!table.caption;
})"""

# Words of a chart that are cut off at its edge.
CUT = """() => [...document.querySelectorAll("svg.chart text")].filter(text => {
  const word = text.getBoundingClientRect();
  const box = text.closest("svg").getBoundingClientRect();
  return word.left < box.left - 1 || word.right > box.right + 1
    || word.top < box.top - 1 || word.bottom > box.bottom + 1;
}).map(text => text.textContent)"""

BACKGROUNDS = """() => [...document.querySelectorAll("html, body, body *")]
  .map(e => getComputedStyle(e).backgroundColor)
  .filter(colour => !/rgba\\(.*, 0\\)|transparent/.test(colour))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    root = os.geteuid() == 0  # Chromium's sandbox does not work for root
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"] if root else []
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def record() -> Any:
    return runpy.run_path(str(EXAMPLE))["example_record"]()


@pytest.fixture(scope="module")
def reports(
    fraud_run: Any, credit_run: Any, record: Any, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """Return the files of five reports: of a run and of its validation, of a full record, of a
    hostile one, and of a forecast with every part."""
    folder = tmp_path_factory.mktemp("reports")
    forecast = runpy.run_path(str(FORECASTS))["forecast_record"]
    price, order = forecast("price"), forecast("direction")["forecast"]
    price["forecast"] = order | price["forecast"] | {"warnings": ["Too good to be believed."]}
    shown = {"full": record, "hostile": hostile(record), "forecast": price}
    for name, values in shown.items():
        (folder / f"{name}.html").write_text(render(values), encoding="utf-8")
    files = {name: folder / f"{name}.html" for name in shown}
    files["validation"] = credit_run.folder / "validation.html"
    return files | {"run": fraud_run.folder / "report.html"}


def hostile(record: Any) -> Any:
    """Return a record whose every name and text is an attack on the page."""
    turn = iter(HOSTILE * 1000)

    def turned(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: turned(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [turned(v, key) for v in value]
        is_free = isinstance(value, str) and not value[:4].isdigit()
        return (
            next(turn) if is_free and key not in ("outcome", "name", "rival", "metric") else value
        )

    record = turned(copy.deepcopy(record))
    record["environment"] = dict.fromkeys(HOSTILE, HOSTILE[5])
    record["data"]["quarantine_reasons"] = dict.fromkeys(HOSTILE, 3)
    record["training"]["settings"] = {text: [text] for text in HOSTILE}
    return record


@contextmanager
def opened(browser: Any, file: Path, size: str = "desktop", scheme: Any = "light") -> Iterator[Any]:
    """Open a file without a network, every fold-out unfolded; fail on whatever it says or asks."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        offline=True,
        is_mobile=size == "phone",
    )
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: said.append(f"request: {request.url}"))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    yield page
    assert said == [f"request: {file.as_uri()}"]
    context.close()


@pytest.mark.parametrize("name", ["run", "full", "hostile", "validation", "forecast"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_reads_well(browser, reports, tmp_path, name, scheme, size):
    with opened(browser, reports[name], size, scheme) as page:
        page.screenshot(path=tmp_path / f"{name}-{size}-{scheme}.png", full_page=True)
        width = SIZES[size][0]
        assert page.evaluate(OUTSIDE, width) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        texts = page.evaluate(TEXTS)
        assert len(texts) > 100
        assert any(text["drawn"] for text in texts)
        assert [text for text in texts if text["pixels"] < 11] == []
        assert [text for text in texts if text["contrast"] < 4.5] == []
        assert name == "hostile" or page.evaluate(CUT) == []
        tables = page.evaluate(TABLES)
        assert tables
        assert all(tables)


@pytest.mark.parametrize("name", ["run", "full", "validation", "forecast"])
def test_its_parts_have_names(browser, reports, name):
    with opened(browser, reports[name]) as page:
        sections = page.locator("main section").all()
        assert len(sections) > 8
        for section in sections:
            assert section.locator("h2").count() == 1
            assert section.locator("h2").inner_text().strip()
            assert page.locator(f"nav a[href='#{section.get_attribute('id')}']").count() == 1
        assert page.locator("h1").count() == 1
        charts = page.locator("svg:not([aria-hidden=true])").all()
        assert len(charts) > 5
        for chart in charts:
            assert chart.get_attribute("role") == "img"
            assert len(chart.get_attribute("aria-label")) > 10
            assert chart.locator("> title").count() == 1
        assert page.get_by_role("navigation", name="Contents").count() == 1


@pytest.mark.parametrize("name", ["run", "full", "hostile", "validation", "forecast"])
def test_paper_is_white(browser, reports, tmp_path, name):
    with opened(browser, reports[name], scheme="dark") as page:
        assert any(is_dark(colour) for colour in page.evaluate(BACKGROUNDS))
        page.emulate_media(media="print", color_scheme="dark")
        assert [colour for colour in page.evaluate(BACKGROUNDS) if is_dark(colour)] == []
        assert [text for text in page.evaluate(TEXTS) if text["contrast"] < 4.5] == []
        page.set_viewport_size({"width": A4, "height": 1000})
        page.screenshot(path=tmp_path / f"{name}-paper.png", full_page=True)
        assert name == "hostile" or page.evaluate("document.documentElement.scrollWidth") <= A4


def is_dark(colour: str) -> bool:
    """Return whether a colour like ``rgb(20, 23, 26)`` is no near-white."""
    return min(int(value) for value in colour[colour.index("(") + 1 : -1].split(",")[:3]) < 128
