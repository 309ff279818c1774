"""What to try next: rules on the figures of a run, each of which says what it saw and which key to change."""

from collections.abc import Iterator, Mapping
from typing import Any

from stages.page.facts import Facts, rows

COLLAPSED = 1 / 64  # of a layer's units, or fewer, are left, and another layer
NEIGHBOURS = 10  # times that share at least
WEAK = 10.0  # percent of the weights that went: less, and the prior did not bite
RISING = 0.5  # points of validation accuracy in the last fifth of the recovery
PAYS = 1.2  # times as fast, at least, or the removal is not worth its trouble on this machine
COSTS = 2.0  # points lost: more, and there is something to win back
BETTER = 0.5  # points by which a control of the same size has to win to be the better choice


def advice(facts: Facts, params: Mapping[str, Any]) -> list[str]:
    return [found for rule in (_collapse, _weak, _rising, _slow, _lost, _control, _room) for found in rule(facts, params)]


def _collapse(facts: Facts, params: Mapping[str, Any]) -> Iterator[str]:
    shares = {row["layer"]: (row["kept"] / row["total"], row) for row in rows(facts.tables["units"]) if row["layer"] != "input"}
    most = max((share for share, _ in shares.values()), default=0)
    for layer, (share, row) in shares.items():
        if (share <= COLLAPSED or row["kept"] == 1) and most > NEIGHBOURS * share and row["total"] > 1:
            yield (f"The layer {layer} collapsed to {row['kept']} of {row['total']} units: all that follows reads through them. "
                   f"{_less(params)}, or lengthen bayesian.kl_warmup_epochs.")


def _weak(facts: Facts, params: Mapping[str, Any]) -> Iterator[str]:
    gone = 100 * (1 - facts.methods["finetuned"].weights / facts.methods["dense"].weights)
    if gone < WEAK:
        yield f"Only {gone:.1f} % of the weights went: the prior is too weak. {_more(params)}, or train the Bayesian network longer."


def _rising(facts: Facts, params: Mapping[str, Any]) -> Iterator[str]:
    accuracy = facts.tables["finetune_curve"]["validation_accuracy"]
    tail = max(1, len(accuracy) // 5)
    if len(accuracy) >= 2 * tail:
        rise = float(accuracy.iloc[-tail:].mean() - accuracy.iloc[-2 * tail:-tail].mean())
        if rise >= RISING:
            yield (f"The recovery was still rising, {rise:.1f} points in its last fifth: give finetune.train.epochs more than "
                   f"{len(accuracy)}.")


def _slow(facts: Facts, params: Mapping[str, Any]) -> Iterator[str]:
    if facts.speedup is not None and facts.speedup < PAYS:
        where = facts.metrics["benchmark"]["device"]
        yield (f"The removal does not pay in time on this machine: {facts.speedup:.2f} times as fast at a batch of {facts.batch:,} "
               f"on {where}. A larger batch (benchmark.batch_sizes), another engine (benchmark.engines), or a prior that charges for work "
               "(prior.kl_weight=macs) may show more; memory and file are smaller all the same.")


def _lost(facts: Facts, params: Mapping[str, Any]) -> Iterator[str]:
    if facts.points_lost > COSTS:
        cut = facts.methods["bayesian"].accuracy - facts.methods["compact"].accuracy
        if cut > facts.points_lost / 2:
            yield (f"The cut cost {cut:.1f} points, and {facts.points_lost:.1f} are lost in the end: lower prune.max_accuracy_drop, "
                   "or recover longer (finetune.train.epochs).")
        else:
            yield f"{facts.points_lost:.1f} points are lost, most of them before the cut: {_less(params)[0].lower()}{_less(params)[1:]}."


def _control(facts: Facts, params: Mapping[str, Any]) -> Iterator[str]:
    small = facts.methods["finetuned"]
    for name, way in (("magnitude", "magnitude"), ("scratch", "training from scratch")):
        better = facts.methods[name].accuracy - small.accuracy if name in facts.methods else 0.0
        if better >= BETTER:
            yield (f"The same size by {way} is {better:.1f} points better: try another prior.kind, or a longer Bayesian training, over "
                   "several seeds before you believe it.")


def _room(facts: Facts, params: Mapping[str, Any]) -> Iterator[str]:
    small, dense = facts.methods["finetuned"], facts.methods["dense"]
    if None not in (small.validation_accuracy, dense.validation_accuracy) and facts.points_lost <= 0 \
            and small.validation_accuracy >= dense.validation_accuracy and small.weights > dense.weights / 100:  # type: ignore[operator]
        yield f"No accuracy was lost: there is room for a smaller network. {_more(params)}, or raise prune.max_accuracy_drop."


def _target(params: Mapping[str, Any]) -> str | None:
    given = {key: value for key, value in params["prior"]["target"].items() if value is not None}
    return next((f"prior.target.{key} (now {value:g})" for key, value in given.items()), None)


def _less(params: Mapping[str, Any]) -> str:
    return f"Raise {_target(params)}" if _target(params) else f"Lower prior.beta (now {params['prior']['beta']:g})"


def _more(params: Mapping[str, Any]) -> str:
    return f"Lower {_target(params)}" if _target(params) else f"Raise prior.beta (now {params['prior']['beta']:g})"
