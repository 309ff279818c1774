"""Which experiments a frontier is made of: priors at targets and seeds, each with all that decides its figures in its name."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sparsify.bayes.priors import KINDS
from sparsify.settings import InputError, build
from stages import compose, grid, pipeline
from stages.params import Params

LAST = "controls"  # the stage up to which each is run
MEASURES = {"units": "hidden", "weights": "weights", "nonzeros": "nonzeros", "macs": "macs"}  # as the metrics name their counts


@dataclass(frozen=True)
class Curve:
    """Priors, and what of the network their targets are of."""

    kinds: tuple[str, ...]
    by: str
    targets: tuple[float, ...]  # shares below 1, or counts


@dataclass(frozen=True)
class Point:
    """One experiment."""

    experiment: grid.Experiment
    kind: str
    by: str
    target: float
    seed: int


def curve(text: str) -> Curve:
    """gaussian,gate:units=0.4,0.2 as priors at targets. Raises InputError."""
    found = re.fullmatch(r"([\w,]+):(\w+)=(.+)", text)
    if not found:
        raise InputError(f"{text} is no curve; write PRIOR,...:MEASURE=TARGET,..., as in gaussian,gate:units=0.4,0.2,0.1")
    kinds, by = tuple(found[1].split(",")), found[2]
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise InputError(f"{text}: {unknown[0] or 'nothing'} is not a prior; choose from {', '.join(KINDS)}")
    if by not in MEASURES:
        raise InputError(f"{text}: {by} is not a measure; choose from {', '.join(MEASURES)}")
    try:
        return Curve(kinds, by, tuple(float(number) for number in found[3].split(",")))
    except ValueError:
        raise InputError(f"{text}: {found[3]} has to be numbers with commas between: shares below 1, or counts") from None


def points(curves: Iterable[Curve], seeds: Sequence[int], changes: Sequence[str] = ()) -> list[Point]:
    """By seed first, so that runs one after another share the dense network.  changes: KEY=VALUE, a recipe among them, for all

    The name of an experiment hangs on the parameters and files that its stages read, and on nothing else: an edit of this page keeps it.
    Raises InputError for what no stage would take."""
    wanted = [(kind, each.by, target) for each in curves for kind in each.kinds for target in each.targets]
    found = {}
    for seed in seeds:
        for kind, by, target in wanted:
            overrides = (*changes, *_overrides(changes, kind, by, target, seed))
            params = compose.composed(*overrides)
            build(Params, params)
            decides = pipeline.fingerprint(pipeline.needed(pipeline.stages(params), [LAST]), params)
            experiment = grid.Experiment(grid.named(overrides, decides), overrides, (LAST,))
            found[experiment.name] = Point(experiment, kind, by, target, seed)
    return list(found.values())


def _overrides(changes: Sequence[str], kind: str, by: str, target: float, seed: int) -> Iterator[str]:
    """What the prior, its target, and an exact cut to that change in a recipe, which may have targets or a threshold of its own."""
    led = [f"prior.kind={kind}", f"prior.target.{by}={target:.12g}", f"seed={seed}"]
    own = compose.composed(*changes, *led)["prior"]["target"]
    led += [f"prior.target.{other}=null" for other in MEASURES if other != by and own[other] is not None]
    found = compose.composed(*changes, *led)
    prior, prune = found["prior"]["target"], found["prune"]
    yield from led
    for measure in MEASURES:
        if prune["target"][measure] != prior[measure]:  # else it follows
            yield f"prune.target.{measure}={f'{target:.12g}' if measure == by else 'null'}"
    for key in ("threshold", "max_final_drop"):
        if prune[key] is not None:
            yield f"prune.{key}=null"
    if found["controls"]["methods"] != ["magnitude"]:
        yield "controls.methods=[magnitude]"
