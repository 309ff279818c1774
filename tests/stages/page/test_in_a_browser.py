"""The page in a real Chromium, by playwright: pip install playwright, and Debian's package chromium."""

import shutil

import pytest
import torch

from stages import compare, report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright) and Chromium")
if CHROMIUM is None:
    pytest.skip("needs Chromium (apt-get install chromium)", allow_module_level=True)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        one = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture
def show(browser, found, settings, tmp_path):
    """show(html, width=...) -> that page, or the run's; at the end of the test it has said nothing, failed nowhere and asked for nothing"""
    file = tmp_path / "report.html"
    faults, pages = [], []

    def make(html=None, width=1200, **how):
        file.write_text(html or report.page(settings, found))
        pages.append(browser.new_page(viewport={"width": width, "height": 800}, **how))
        pages[-1].on("console", lambda message: faults.append(message.text))
        pages[-1].on("pageerror", lambda error: faults.append(str(error)))
        pages[-1].on("request", lambda request: faults.append(request.url) if request.url != file.as_uri() else None)
        pages[-1].goto(file.as_uri())
        return pages[-1]
    yield make
    for page in pages:
        page.close()
    assert faults == []


def answers(page):
    return page.evaluate("[...document.querySelectorAll('#answers meter')].map((bar) => bar.value)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 820, 1280])
def test_nothing_scrolls_sideways_and_every_picture_is_seen(show, width, scheme):
    page = show(width=width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    boxes = page.evaluate("[...document.querySelectorAll('svg, canvas')].map((one) => one.getBoundingClientRect().toJSON())")
    assert all(box["width"] > 200 and box["height"] > 60 and box["right"] <= width for box in boxes)
    paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 28)"}[scheme]


def test_a_stroke_of_the_mouse_is_answered(show):
    page = show()
    assert answers(page) == [0] * 10
    page.locator("#paper").scroll_into_view_if_needed()
    box = page.locator("#paper").bounding_box()
    page.mouse.move(box["x"] + 90, box["y"] + 70)
    page.mouse.down()
    page.mouse.move(box["x"] + 190, box["y"] + 70, steps=5)
    page.mouse.move(box["x"] + 120, box["y"] + 220, steps=5)
    page.mouse.up()
    drawn = answers(page)
    assert sum(drawn) == pytest.approx(1, abs=1e-3)
    best = drawn.index(max(drawn))
    assert page.inner_text("#verdict").startswith(f"{best}, ")
    opacities = page.evaluate("[...document.querySelectorAll('[data-layer=fc1]')].map((cell) => +cell.style.opacity)")
    assert len(opacities) == 22 and max(opacities) == 1
    page.mouse.move(box["x"] + 20, box["y"] + 20)  # the pen is up
    assert answers(page) == drawn
    page.click("#clear")
    assert answers(page) == [0] * 10


def test_a_finger_draws_and_a_button_does(show):
    page = show(width=390, has_touch=True)
    page.locator("#paper").tap(position={"x": 100, "y": 100})
    dot = answers(page)
    assert sum(dot) == pytest.approx(1, abs=1e-3)
    page.click("#seven")
    assert sum(answers(page)) == pytest.approx(1, abs=1e-3) and answers(page) != dot


def test_the_pages_network_gives_the_same_answers_in_the_browser_as_in_torch(show, network):
    page, images = show(), torch.rand(20, 784, generator=torch.Generator().manual_seed(0))
    found = page.evaluate("""(images) => {
        const content = JSON.parse(document.getElementById("network").textContent);
        return images.map((image) => forward(content, decoded(content.numbers), image).logits); }""", images.tolist())
    with torch.no_grad():
        expected = network[0](((images - 0.13) / 0.31).reshape(20, 1, 28, 28))
    torch.testing.assert_close(torch.tensor(found), expected, atol=1e-4, rtol=1e-4)


def test_a_column_sorts_downwards_then_upwards_and_what_is_missing_stays_last(show):
    def made(name, accuracy, latency):
        return compare.Experiment(name, name, {"recipe_name": "default"}, {
            "accuracy": accuracy, "weights_left": 5, "units_left": 4, "macs_left": 3, "latency_ms": latency})

    page = show(compare.page([made("one", 9.5, 0.5), made("two", 10.5, None), made("three", 8.0, 2.0)], {}), width=390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390

    def order(column):
        page.click(f"#sortable button:text-is('{column}')")
        return page.locator("#sortable tbody tr td:nth-child(2)").all_inner_texts()

    assert order("accuracy") == ["two", "one", "three"]
    assert order("accuracy") == ["three", "one", "two"]
    assert order("latency, ms") == ["three", "one", "two"]
    assert order("latency, ms") == ["one", "three", "two"]
    assert order("experiment") == ["two", "three", "one"]
    assert page.get_attribute("#sortable th:nth-child(2)", "aria-sort") == "descending"
