"""The code in README.md, docs/library.md and docs/structure.md, run as it stands there."""

import re
from pathlib import Path

import pytest
import torch

import sparsify
from sparsify.structure.rules import TABLE

TOP = Path(__file__).parent.parent


def code(page, section):
    """The Python blocks of a section of a page, in order."""
    text = (TOP / page).read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", text, re.S), text


@pytest.fixture(scope="module")
def readme(tmp_path_factory):
    """What the lines of docs/library.md leave behind, run in an empty folder."""
    given = {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("readme"))
        first, second = code("docs/library.md", "The parts")[0]
        exec(first, given)
        learned = dict(given)
        exec(second, given)
    return learned, given


def test_own_network_becomes_small_and_stays_right(readme):
    learned, _ = readme
    small, x, y = learned["small"], learned["x"], learned["y"]
    assert type(small) is learned["MyNet"]
    assert sum(parameter.numel() for parameter in small.parameters()) < 1000
    assert (small(x).argmax(1) == y).float().mean() > 0.9


def test_the_report_has_the_form_that_is_shown(readme):
    learned, _ = readme
    shown = re.search(r"```\n(units.*?)```", code("docs/library.md", "The parts")[1], re.S)[1]
    without_numbers = lambda text: re.sub(r"[\d.,]+(e-\d+)?| +", " ", text).split()  # noqa: E731
    assert without_numbers(shown) == without_numbers(str(learned["report"]))


def test_one_call_leaves_what_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = code("README.md", "Your own network")[0][0]
    given = {"__name__": "__main__"}
    torch.manual_seed(0)
    exec(block, given)
    report, small, x, y = given["report"], given["small"], given["x"], given["y"]
    assert report.score > report.score_dense - 3 > 85
    assert 0.2 < report.after.macs / report.before.macs <= 0.3
    assert (small(x[:200]).argmax(1) == y[:200]).double().mean() > 0.9
    again = sparsify.load("shrunk.safetensors", given["model"])
    assert torch.equal(again(x), small(x))


def test_masks_of_ones_own_leave_the_same_outputs(readme):
    _, given = readme
    small, masked, x = given["small"], given["masked"], given["x"]
    assert (small.stem.out_features, small.inner.out_features) == (40, 64)
    torch.testing.assert_close(small(x), masked(x))


def test_a_rule_of_ones_own_lets_units_go(monkeypatch):
    monkeypatch.setitem(TABLE, "fft_rfft", None)  # put back at the end
    del TABLE["fft_rfft"]
    without, rule = code("docs/structure.md", "A rule of your own")[0]
    given = {}
    exec(without, given)
    model, example = given["model"], given["example"]
    assert "fft_rfft is an operation without a rule" in sparsify.streams(model, example)["conv"].fixed
    exec(rule, given)
    assert (given["small"].conv.out_channels, given["report"].kept) == (5, {})
    assert given["report"].gap < 1e-9
