"""report.html as a file: what it says, that it is whole, and that it reads well in both schemes."""

import base64
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from stages import params, report, runtime
from stages.page import facts, render

TOP = Path(__file__).parents[3]
ORDER = ["before-after", "try", "table", "curves", "left", "layers", "latency", "uncertainty", "next", "again"]
NONE = "\N{EN DASH}"  # was not measured
VOID = {"meta", "link", "br", "img", "input", "rect", "path", "use", "polygon", "source"}


class Page(HTMLParser):
    """All tags with their attributes; a tag that is closed by another is an error."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def html(found, settings):
    return report.page(settings, found)


def cells(html, method):
    row = re.search(rf'<tr[^>]* data-method="{method}">(.*?)</tr>', html)[1]
    return re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)


def test_the_table_has_each_networks_figures_in_its_own_row(html):
    assert cells(html, "dense") == ["dense", "95.60", "96.20", "0.220", "2.9", "400", "266,200", "266,201",
                                    "0.0540", "3.70", "1,066", "2.5"]
    assert cells(html, "bayesian") == ["Bayesian", "94.90", "96.40", "0.210", "1.6", "400", "266,200", "266,201", NONE, NONE, NONE, "11.5"]
    assert cells(html, "compact")[:3] == ["compact, as cut", "94.00", NONE]
    assert cells(html, "finetuned")[1:4] + cells(html, "finetuned")[8:] == ["94.50", "96.10", "0.310", "0.0330", "0.460", "72", "3.5"]
    assert (cells(html, "magnitude")[1], cells(html, "scratch")[1]) == ("94.70", "93.40")


def test_pictures_say_each_networks_figures_in_words(html):
    words = " ".join(attributes.get("aria-label", "") for attributes in Page(html).of("svg"))
    assert "dense 95.6 %, Bayesian 94.9 %, compact, as cut 94.0 %, compact, fine-tuned 94.5 %" in words
    assert "dense 2.9 points, Bayesian, mean 1.6 points, Bayesian, sampled 1.8 points, compact 3.6 points" in words
    assert "dense ends at 96.2 %, Bayesian ends at 96.3 %, fine-tuning ends at 96.1 %" in words
    assert "dense, torch, 1 thread 3.70, compact, torch, 1 thread 0.460" in words
    assert "Beta by epoch, from 0.001 to 0.05." in words and "Expected size by epoch, from 100 to 7." in words


def test_the_drawing_has_the_true_widths(html):
    dense, compact = [label for attributes in Page(html).of("svg") if (label := attributes["aria-label"]).startswith("The ")]
    assert dense == "The dense network, a column a layer: input 784, fc1 300, fc2 100, output 10 units."
    assert compact == "The compact network, a column a layer: input 784, fc1 22, fc2 23, output 10 units."
    heights = [float(rect["height"]) for rect in Page(html).of("rect") if rect.get("fill")]
    assert heights == pytest.approx([150 * units / 784 for units in (784, 300, 100, 10, 784, 22, 23, 10)])


def test_it_tells_the_story_in_order_in_one_file(html):
    page = Page(html)
    assert page.open == []
    assert [attributes["id"] for attributes in page.of("section")] == ORDER
    assert not [value for _, attributes in page.tags for key, value in attributes.items()
                if key in ("src", "srcset", "href", "xlink:href") and not value.startswith(("#", "data:image/webp;base64,"))]
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", html)
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))


def test_every_picture_has_a_size_and_words(html):
    page = Page(html)
    pictures = [*page.of("svg"), *page.of("canvas")]
    assert len(pictures) > 10
    assert all(each["role"] == "img" and all(each[key] for key in ("aria-label", "width", "height")) for each in pictures)


def test_equal_runs_make_equal_pages(found, settings, html):
    assert report.page(settings, found) == html
    assert len(html) < 400_000


def test_a_run_that_kept_frames_shows_how_it_was_carved(found, settings):
    alphas = np.array([[-3.0, -2, -1, -4], [-3, 2, 5, 9]], np.float16)  # (frames, units)
    np.savez(runtime.SNAPSHOTS, **{"epoch": np.array([0, 60]), "units/fc1": alphas})
    page = Page(report.page(settings, found))
    assert [attributes["id"] for attributes in page.of("section")] == [ORDER[0], "carved", *ORDER[1:]]
    [shown], [still] = page.of("img"), page.of("source")
    assert shown["alt"] == "The network over 60 epochs of the Bayesian training. At the end is left: fc1 25 %."
    assert still["media"] == "(prefers-reduced-motion: reduce)"
    pictures = [Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))) for data in (shown["src"], still["srcset"])]
    assert [each.n_frames for each in pictures] == [2, 1]
    assert all(each.size == (int(shown["width"]), int(shown["height"])) for each in pictures)


def test_what_was_kept_and_why(html):
    rows = [re.findall(r">([^<]+)</t[hd]>", row) for row in re.search(r'id="layers".*?</section>', html, re.S)[0].split("<tr>")[2:]]
    assert ["input", "784", "784", "fixed: network input"] in rows and ["fc1", "30", "22", "those above the threshold went"] in rows


def test_a_run_without_controls_benchmark_uncertainty_and_sweep_has_a_page(run, tmp_path, settings):
    for name in ("controls", "benchmark", "uncertainty", "sweep"):
        (tmp_path / "metrics" / f"{name}.json").unlink()
    page = Page(report.page(settings, facts.read()))
    assert [attributes["id"] for attributes in page.of("section")] == [name for name in ORDER if name not in ("latency", "uncertainty")]


def test_the_command_names_what_differs_from_the_recipe(settings):
    plain = yaml.safe_load((TOP / "params.yaml").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(TOP)
        assert report._command(plain) == "dvc exp run -S recipe=default"
        plain["prior"]["kind"], plain["sweep"]["shares"], plain["seed"] = "gate", [0, 50], 7
        assert report._command(plain) == "dvc exp run -S recipe=default -S seed=7 -S prior.kind=gate -S 'sweep.shares=[0, 50]'"


def test_the_stage_watches_all_parameters():
    stage = yaml.safe_load((TOP / "dvc.yaml").read_text())["stages"]["report"]
    assert stage["params"] == list(params.Params.__dataclass_fields__)


def test_the_stage_writes_the_page_and_says_where(run, tmp_path):
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_text((TOP / name).read_text())
    done = subprocess.run([sys.executable, "-m", "stages.report"], cwd=tmp_path, env={"PYTHONPATH": str(TOP), "PATH": ""},
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "the page of this run: report.html\n"
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def luminance(color):
    parts = [int(color[place:place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast_is_enough(scheme):
    """WCAG 2.2: 4.5 for text, 3 for what a picture is read by."""
    colors = dict(re.findall(r"--(\w+): (#\w{6})", re.findall(r":root \{(.*?)\}", render.text("style.css"))[scheme]))

    def contrast(first, second):
        low, high = sorted(luminance(colors[name]) for name in (first, second))
        return (high + 0.05) / (low + 0.05)

    assert all(contrast(text, ground) >= 4.5 for text in ("ink", "soft", "link") for ground in ("paper", "panel"))
    assert all(contrast(mark, "paper") >= 3 for mark in ("mark", "blue"))
