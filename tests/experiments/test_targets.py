"""The tables of what targets give."""

from benchmarks import report
from experiments import orders, targets
from sparsify.settings import build
from stages import compose
from stages.params import Params


def rows_of(prior, led, by, accuracy):
    return [{"prior": prior, "led": led, "by": by, "target": share, "expected": 1.02 * share if led else None,
             "accuracy": accuracy - number} for number, share in enumerate(targets.TARGETS[by])]


def test_a_line_holds_what_one_prior_gives_at_every_size():
    _, _, beta, led, single = targets.tables([*rows_of("gaussian", False, "macs", 90.0), *rows_of("gaussian", True, "macs", 97.0),
                                              *rows_of("ard", True, "nonzeros", 96.0)]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (beta, led, single)]
    assert cells[0] == ["`gaussian`", "`prior.beta`", "20 of the MACs", "", "90.00", "10 of the MACs", "", "89.00",
                        "5 of the MACs", "", "88.00"]
    assert cells[1][:5] == ["`gaussian`", "the target", "20 of the MACs", "20.40", "97.00"]
    assert cells[2][-3:] == ["2.5 of the non-zeros", "2.55", "94.00"]


def test_the_gain_of_a_target_is_taken_seed_by_seed():
    rows = [{"seed": seed, "led": led, "size": "units=73", "accuracy": 97.0 + seed + 0.1 * led}
            for seed in (1, 2, 3) for led in (0, 2)]
    line = targets.own_table({"a-recipe": rows}).splitlines()[2]
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "`a-recipe`", "units 73", "99.00 ± 1.00", "", "99.20 ± 1.00", "", "0.20 ± 0.00"]


def test_an_earlier_call_keeps_its_other_seeds_and_ways(tmp_path):
    def row(seed, led, accuracy, size="units=73"):
        return {"seed": seed, "led": led, "size": size, "accuracy": accuracy}
    report.write("own", {}, [row(1, False, 1.0), row(1, True, 2.0), row(2, True, 3.0), row(3, True, 3.0, "units=80")], tmp_path)
    found = targets.with_earlier([row(1, 1, 5.0), row(1, 2, 6.0)], tmp_path / "own.json")
    assert [(each["seed"], each["led"], each["accuracy"]) for each in found] == [(1, 0, 1.0), (1, 1, 5.0), (1, 2, 6.0), (2, 1, 3.0)]
    assert targets.with_earlier([row(1, 1, 5.0)], tmp_path / "none.json") == [row(1, 1, 5.0)]


def test_a_target_of_the_recipe_gives_way():
    composed = compose.composed("recipe=mnist-lenet-300-100-pixels", *orders.FREE, "prior.target.macs=0.2", conf=orders.TOP / "conf")
    assert build(Params, composed).prior.target.given() == {"macs": 0.2}
