"""The HTML report in headless Chromium: what a reader sees."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from accelerator_sim.html import report_html
from accelerator_sim.units import bytes_text, joules_text, percent_text, seconds_text
from tests.report.html_cases import HOSTILE, decoder_case, html_case

WITHOUT = "EGRL_NO_BROWSER"
"""Set to 1 on a machine without Chromium; the tests are then skipped, with a reason."""

INSTALL = f"apt-get install -y chromium chromium-driver (or set {WITHOUT}=1 to go without)"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_S = 20.0

PAGES = {
    "one": lambda: [html_case(2, 40)],
    "two": lambda: [html_case(8), html_case(8, placer="all-outermost")],
    "hostile": lambda: [html_case(3, hostile=True), html_case(3)],
    "decoder": lambda: [decoder_case()],
    "ethos": lambda: [html_case(1, target="ethos-u65-512", bound=False)],
}


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if os.environ.get(WITHOUT) == "1":
        pytest.skip(f"{WITHOUT}=1: no browser on this machine")
    binary = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    driver_path = shutil.which("chromedriver")
    if binary is None or driver_path is None:
        pytest.fail(f"no Chromium with its driver: {INSTALL}", pytrace=False)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--window-size=1200,900", "--proxy-server=127.0.0.1:9",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service(driver_path), options=options)
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    paths = {}
    for name, cases in PAGES.items():
        paths[name] = folder / f"{name}.html"
        paths[name].write_text(report_html(cases()), "utf-8")
    return paths


def opened(browser, path: Path):
    """The page, drawn."""
    browser.get_log("browser")
    browser.get(path.as_uri())
    wait(browser, "return document.querySelectorAll('section').length > 0")
    return browser


def wait(browser, condition: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not browser.execute_script(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.02)


def texts(browser, selector: str) -> list[str]:
    return browser.execute_script(
        "return Array.from(document.querySelectorAll(arguments[0])).map(e => e.textContent)",
        selector,
    )


def complaints(browser) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]


def column(browser, table: str, label: str) -> list[str]:
    heads = texts(browser, f"table[aria-label='{table}'] thead th")
    at = heads.index(label) + 1
    return texts(browser, f"table[aria-label='{table}'] tbody td:nth-child({at})")


@pytest.mark.parametrize("name", PAGES)
def test_every_section_is_drawn_without_a_complaint(browser, pages, name):
    opened(browser, pages[name])
    sections = set(texts(browser, "section h2"))
    expected = {"Summary", "Timeline", "Where the time goes", "Memory map", "Ops", "References",
                "Energy", "Target", "What would help"}  # fmt: skip
    assert expected <= sections
    drawn = browser.execute_script(
        "return Array.from(document.querySelectorAll('.chart')).map(e => "
        "{const c = e.querySelector('canvas'); return c ? c.width * c.height : 0})"
    )
    assert len(drawn) >= 6
    assert min(drawn) > 10_000
    assert complaints(browser) == []


def test_caches_have_a_curve_and_tables_where_there_are_some(browser, pages):
    opened(browser, pages["decoder"])
    assert column(browser, "A token by length", "Positions held") == ["128", "2,048"]
    assert column(browser, "Caches by memory", "Overflows by all of them beyond") == [
        "2,000", "1,999", "never"
    ]  # fmt: skip
    assert browser.execute_script("return !!document.querySelector('#caches canvas')")
    opened(browser, pages["one"])
    assert texts(browser, "#caches") == []


def test_the_headline_shows_the_numbers_of_the_report_file(browser, pages):
    report = json.loads(msgspec.json.encode(PAGES["one"]()[0].report))
    opened(browser, pages["one"])
    shown = dict(
        browser.execute_script(
            "return Array.from(document.querySelectorAll('[data-number]'))"
            ".map(e => [e.dataset.number, e.textContent])"
        )
    )

    def text(value: str) -> str:
        return value.replace("us", "\u00b5s").replace("uJ", "\u00b5J")

    assert shown["latency_s"] == text(seconds_text(report["latency_s"]))
    assert shown["cold_latency_s"] == text(seconds_text(report["cold_latency_s"]))
    assert shown["energy_j"] == text(joules_text(report["energy_j"]))
    assert shown["gap"] == percent_text(report["gap"])
    assert shown["speedup_over_native"] == f"{report['speedup_over_native']:.2f}x"
    best = report["speedup_over_best_reference"]
    assert shown["speedup_over_best_reference"] == f"{best:.2f}x"
    assert shown["gap_closed"] == percent_text(report["gap_closed"])
    assert shown["power_w"].endswith(" W")
    for tier in report["tiers"]:
        assert bytes_text(tier["peak_bytes"]) in column(browser, "Memories", "Peak")
    assert sorted(column(browser, "Ops", "Op")) == sorted(op["name"] for op in report["ops"])
    assert report["placer"] in texts(browser, "#subtitle")[0]


def test_the_table_of_ops_sorts_and_filters(browser, pages):
    ops = PAGES["one"]()[0].report.ops
    opened(browser, pages["one"])
    by_time = sorted(ops, key=lambda op: (-float(f"{op.duration_s:.7g}"), op.index))
    assert column(browser, "Ops", "#") == [str(op.index) for op in by_time]

    def press(label: str) -> None:
        browser.execute_script(
            "Array.from(document.querySelectorAll(\"table[aria-label='Ops'] th button\"))"
            ".find(b => b.textContent === arguments[0]).click()",
            label,
        )

    press("Op")
    names = column(browser, "Ops", "Op")
    assert names == sorted(names)
    press("Op")
    assert column(browser, "Ops", "Op") == names[::-1]
    assert "descending" in browser.execute_script(
        "return Array.from(document.querySelectorAll(\"table[aria-label='Ops'] th\"))"
        ".map(th => th.getAttribute('aria-sort'))"
    )
    family = ops[0].family
    browser.execute_script(
        "const s = document.querySelectorAll('#ops select')[0]; s.value = arguments[0];"
        "s.dispatchEvent(new Event('change'))",
        family,
    )
    assert set(column(browser, "Ops", "Family")) == {family}
    assert len(column(browser, "Ops", "Op")) == sum(op.family == family for op in ops) < len(ops)
    browser.execute_script(
        "const i = document.querySelector('#ops input'); i.value = arguments[0].toUpperCase();"
        "i.dispatchEvent(new Event('input'))",
        ops[0].name,
    )
    found = column(browser, "Ops", "Op")
    assert ops[0].name in found
    assert all(ops[0].name in name for name in found)
    assert " of " in texts(browser, "#ops .count")[0]


def luminance(browser, selector: str) -> float:
    text = browser.execute_script(
        "return getComputedStyle(document.querySelector(arguments[0])).backgroundColor", selector
    )
    red, green, blue = (int(part) for part in text[text.index("(") + 1 : -1].split(",")[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


def test_dark_is_dark_and_light_is_light(browser, pages):
    opened(browser, pages["one"])
    for scheme, is_dark in (("dark", True), ("light", False)):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        opened(browser, pages["one"])
        assert (luminance(browser, "body") < 0.1) == is_dark
        assert (luminance(browser, "section") < 0.15) == is_dark
    browser.execute_script("document.getElementById('theme').click()")
    assert luminance(browser, "body") < 0.1
    assert complaints(browser) == []


def test_hostile_names_are_text(browser, pages):
    opened(browser, pages["hostile"])
    browser.execute_script("document.querySelectorAll('summary').forEach(s => s.click())")
    wait(browser, "return document.querySelectorAll('details table').length >= 2")
    # Every tooltip of every chart is made of names.
    browser.execute_script(
        "document.querySelectorAll('.chart').forEach(e => {"
        " const chart = echarts.getInstanceByDom(e);"
        " chart.getOption().series.forEach((s, i) => {"
        "  for (let d = 0; d < Math.min(12, s.data.length); d++)"
        "   chart.dispatchAction({type: 'showTip', seriesIndex: i, dataIndex: d}); }); })"
    )
    assert any(HOSTILE[0] in text for text in texts(browser, ".tip"))
    assert browser.execute_script("return window.hacked === undefined")
    assert browser.execute_script("return document.querySelectorAll('img, b, iframe').length") == 0
    assert HOSTILE[0] in texts(browser, "h1")[0]
    assert any(name.endswith(HOSTILE[1]) for name in column(browser, "Ops", "Op"))
    assert complaints(browser) == []


def test_several_cases_are_compared_and_each_can_be_shown(browser, pages):
    cases = PAGES["two"]()
    opened(browser, pages["two"])
    assert "Comparison" in texts(browser, "section h2")
    row = texts(browser, "#compare .scroll:not(.tall) tr:nth-child(5) td")
    expected = [seconds_text(case.report.latency_s).replace("us", "\u00b5s") for case in cases]
    assert row == expected
    browser.execute_script(
        "const s = document.getElementById('case'); s.value = '1';"
        "s.dispatchEvent(new Event('change'))"
    )
    assert texts(browser, "[data-number=latency_s]") == [expected[1]]
    assert complaints(browser) == []


def test_zoom_keys_and_narrow_pages(browser, pages):
    opened(browser, pages["one"])
    zoom = (
        "const c = echarts.getInstanceByDom(document.querySelector('.chart'));"
        "const z = c.getOption().dataZoom[0]; return z.end - z.start"
    )
    assert browser.execute_script(zoom) == 100
    press = (
        "document.querySelector('.chart').dispatchEvent(new KeyboardEvent('keydown', {key: %r}))"
    )
    browser.execute_script(press % "+")
    assert browser.execute_script(zoom) == pytest.approx(60)
    browser.execute_script(press % "0")
    assert browser.execute_script(zoom) == 100
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True},
    )
    opened(browser, pages["one"])
    # Wide tables scroll in their own box, the page does not.
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 400
    assert browser.execute_script(
        "const s = document.querySelector('#ops .scroll'); return s.scrollWidth > s.clientWidth"
    )
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert complaints(browser) == []
