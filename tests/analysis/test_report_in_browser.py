"""The report as people meet it: in a browser, with a mouse, with keys alone, on a phone, on paper."""

import base64
import os
import shutil

import pytest
from collect import collect
from drawing import save, style
from plot_valley import FIGURES
from report import page
from summary import summarise
from synthetic_sweep import World

REQUIRED = "VALLEY_REQUIRE_BROWSER" in os.environ
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not REQUIRED:
    pytest.importorskip("selenium", reason="selenium is not installed: pip install -e '.[dev]'")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip(
            "no Chromium with its driver (Debian: chromium chromium-driver)",
            allow_module_level=True,
        )
# One browser, which one worker starts.
pytestmark = pytest.mark.xdist_group("browser")

QUIET = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CONTRASTS = """
const light = (color) => {
  const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const color = getComputedStyle(at).backgroundColor;
    if (!/, 0\\)$/.test(color)) return color;
  }
};
const found = [];
for (const element of document.body.querySelectorAll("*")) {
  const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!own || !element.getClientRects().length || element.matches("script")) continue;
  const [a, b] = [getComputedStyle(element).color, behind(element)].map(light).sort((x, y) => x - y);
  found.push([(b + 0.05) / (a + 0.05), element.tagName, element.textContent.slice(0, 40)]);
}
return found;
"""


class Tab:
    """A browser's tab with the report in it."""

    def __init__(self, driver, path):
        self.driver, self.path = driver, path

    def open(self, width=1200, dark=False):
        self.ask("Emulation.clearDeviceMetricsOverride")
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media="", features=[scheme])
        self.driver.get(self.path.as_uri())
        return self

    def ask(self, command, **arguments):
        return self.driver.execute_cdp_cmd(command, arguments)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def column(self, name):
        """The texts of a column's visible rows, in the order shown."""
        return self.run(
            """
            const table = document.getElementById("cells-table");
            const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent);
            const rows = [...table.tBodies[0].rows].filter((row) => row.getClientRects().length);
            return rows.map((row) => row.cells[heads.indexOf(arguments[0])].textContent);
            """,
            name,
        )

    def head(self, name):
        return self.driver.find_element("xpath", f"//th[button='{name}']")

    def type_filter(self, text):
        field = self.driver.find_element("id", "filter")
        field.clear()
        field.send_keys(text)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    assert CHROMIUM and DRIVER, (
        "VALLEY_REQUIRE_BROWSER is set, and Chromium or its driver is missing"
    )
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    root = tmp_path_factory.mktemp("a browser")
    made = World(root / "my runs", problems=60)
    made.cell(0.6, size=0)
    for size, score in ((32, 0.1), (64, 0.1), (128, 0.9)):
        made.cell(score, size=size)
    made.cell(0.3, size=256, missing=("direct",), difficulty="hard")
    collected = collect(made.root)
    document = summarise(collected)
    folder = made.folder / "figures"
    folder.mkdir()
    path = folder / "report.html"
    with style():
        figures = save(FIGURES["valley"](document), folder, "valley")
    path.write_text(page(collected, document, figures, folder), encoding="utf-8")

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Chromium's own sandbox refuses to start as root; the page is our own.
    for argument in (*QUIET, *(("--no-sandbox",) if os.getuid() == 0 else ())):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield Tab(driver, path)
    driver.quit()


def test_it_opens_without_an_error_and_asks_no_one_for_anything(browser):
    browser.driver.get_log("performance")
    browser.open()
    assert browser.driver.get_log("browser") == []
    asked = [
        entry["message"]
        for entry in browser.driver.get_log("performance")
        if "Network.requestWillBeSent" in entry["message"]
    ]
    assert asked and all(
        '"url":"file:' in message or '"url":"data:' in message for message in asked
    )
    drawn = "return [...document.images].map((image) => image.complete && image.naturalWidth > 0)"
    shown = browser.run(drawn)
    assert shown and all(shown)


def test_a_click_sorts_by_number_with_gaps_last_and_again_the_other_way(browser):
    browser.open()
    planned = browser.column("size")
    head = browser.head("pass@1")
    for order, backwards in (("ascending", False), ("descending", True)):
        head.find_element("tag name", "button").click()
        assert head.get_attribute("aria-sort") == order
        *numbers, last = browser.column("pass@1")
        assert last == ""
        assert list(map(float, numbers)) == sorted(map(float, numbers), reverse=backwards)
    browser.head("size").find_element("tag name", "button").click()
    assert browser.column("size") == sorted(planned, key=int)
    assert head.get_attribute("aria-sort") == "none"


def test_keys_alone_skip_to_the_findings_and_sort(browser):
    from selenium.webdriver import ActionChains, Keys

    browser.open()

    def press(*keys):
        ActionChains(browser.driver).send_keys(*keys).perform()
        return browser.driver.switch_to.active_element

    skip = press(Keys.TAB)
    assert skip.text.startswith("Skip") and skip.location["x"] >= 0
    assert press(Keys.ENTER).get_attribute("id") == "main"
    seen = []
    while len(seen) < 40 and "size" not in seen:
        seen.append(press(Keys.TAB).text)
    assert seen[-1] == "size"
    assert "0px" not in browser.run("return getComputedStyle(document.activeElement).outlineWidth")
    press(Keys.ENTER)
    press(Keys.SPACE)
    assert browser.head("size").get_attribute("aria-sort") == "descending"
    assert browser.column("size")[0] == "256"


def test_the_filter_keeps_rows_with_every_word_and_counts_them(browser):
    browser.open()
    for text, kept in (("", 10), ("direct", 5), ("HARD", 2), ("size=32", 2), ("size=32 direct", 1)):
        browser.type_filter(text)
        assert len(browser.column("size")) == kept, text
        count = browser.driver.find_element("id", "filter-count").text
        assert count == (f"{kept} of 10 rows" if text else "10 rows")
    assert browser.column("size") == ["32"]
    browser.type_filter("size=3")  # the value itself, not a part of it
    assert browser.column("size") == []


def test_paper_has_every_row_whatever_is_filtered(browser):
    browser.open()
    browser.type_filter("size=32")
    assert len(browser.column("size")) == 2
    browser.ask("Emulation.setEmulatedMedia", media="print")
    assert len(browser.column("size")) == 10
    # Heads that hold a button as a box are not repeated on the next page.
    button = browser.driver.find_element("css selector", "#cells-table th button")
    assert button.value_of_css_property("display") == "contents"
    browser.ask("Emulation.setEmulatedMedia", media="")
    printed = base64.b64decode(browser.ask("Page.printToPDF")["data"])
    assert printed.startswith(b"%PDF") and len(printed) > 20_000


@pytest.mark.parametrize("width", [320, 360, 1200])
def test_no_page_scrolls_sideways_but_wide_tables_do(browser, width):
    browser.open(width)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    if width < 500:
        boxes = "return [...document.querySelectorAll('.box')].map((b) => [b.scrollWidth, b.clientWidth])"
        assert any(inner > outer for inner, outer in browser.run(boxes))


def test_every_text_is_legible_in_light_and_in_dark(browser):
    grounds = []
    for dark in (False, True):
        browser.open(dark=dark)
        ratios = browser.run(CONTRASTS)
        assert len(ratios) > 100
        assert [found for found in ratios if found[0] < 4.5] == []
        grounds.append(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] != grounds[1]


def test_every_figure_is_told_in_words(browser):
    browser.open()
    told = browser.run("return [...document.images].map((image) => image.alt)")
    assert len(told) == 1 and "VALLEY among these checkpoints" in told[0]
