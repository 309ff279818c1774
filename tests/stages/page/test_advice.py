"""Every rule speaks when its figure says so, and is silent otherwise."""

from dataclasses import asdict, replace

import pytest

from stages.page import facts
from stages.page.advice import advice

UNITS = "layer,total,kept\ninput,784,784\nfc1,300,{}\nfc2,100,{}\n"
CURVE = "epoch,nll,distillation,validation_accuracy\n"


@pytest.fixture
def said(settings):
    return lambda found, **prior: advice(found, asdict(replace(settings, prior=replace(settings.prior, **prior))))


def test_a_run_without_a_fault_gets_no_advice(found, said):
    assert said(found) == []


def test_a_layer_that_collapsed(changed, said):
    [line] = said(changed(units=UNITS.format(1, 50)))
    assert line.startswith("The layer fc1 collapsed to 1 of 300 units") and "Lower prior.beta (now 0.05)" in line
    assert said(changed(units=UNITS.format(60, 50))) == []


def test_a_prior_too_weak(run, said):
    run("prune", "nonzeros_left", 260000)
    assert said(facts.read())[0].startswith("Only 2.3 % of the weights went: the prior is too weak. Raise prior.beta")


def test_a_target_is_what_to_change_where_there_is_one(run, said, settings):
    run("prune", "nonzeros_left", 260000)
    assert "Lower prior.target.macs (now 0.25)" in said(facts.read(), target=replace(settings.prior.target, macs=0.25))[0]


@pytest.mark.parametrize(("last", "speaks"), [(93.0, True), (90.1, False)])
def test_a_recovery_still_rising(changed, said, last, speaks):
    rows = "".join(f"{epoch},0.1,0.1,{last if epoch > 8 else 90}\n" for epoch in range(1, 11))
    lines = said(changed(finetune_curve=CURVE + rows))
    assert [line.startswith("The recovery was still rising, 3.0 points") for line in lines] == [True] * speaks


@pytest.mark.parametrize(("times", "speaks"), [(0.9, True), (1.5, False)])
def test_a_removal_that_does_not_pay_on_this_machine(run, said, times, speaks):
    run("benchmark", "speedup", {"batch_1000": {"median": times}})
    lines = said(facts.read())
    assert ["0.90 times as fast at a batch of 1,000 on a processor" in line for line in lines] == [True] * speaks


@pytest.mark.parametrize(("bayesian", "compact", "begins"), [
    (95.0, 91.0, "The cut cost 4.0 points"), (92.0, 91.5, "4.6 points are lost, most")])
def test_where_the_points_were_lost(run, said, bayesian, compact, begins):
    run("bayesian", "accuracy", bayesian)
    run("prune", "accuracy_compact", compact)
    run("prune", "accuracy_finetuned", 91.0)
    for name in ("magnitude", "scratch"):
        run("controls", name, {**facts.read().metrics["controls"][name], "accuracy": 91.0})
    lines = said(facts.read())
    assert len(lines) == 1 and lines[0].startswith(begins)


def test_a_control_that_wins(run, said):
    run("controls", "magnitude", {**facts.read().metrics["controls"]["magnitude"], "accuracy": 95.5})
    [line] = said(facts.read())
    assert line.startswith("The same size by magnitude is 1.0 points better")


def test_room_for_less(run, said):
    run("prune", "accuracy_finetuned", 95.7)
    run("prune", "validation_accuracy_finetuned", 96.5)
    [line] = said(facts.read())
    assert line.startswith("No accuracy was lost: there is room")
