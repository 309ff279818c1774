"""One call from a trained network to a small one: Bayesian training, cut, recovery. The pipeline does the same with the same pieces."""

import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sparsify import artifacts, budget
from sparsify.bayes.convert import bake, bayesianize, log_alphas, noise_parameters
from sparsify.bayes.priors import KINDS, PriorSettings, Target
from sparsify.bayes.target import ExpectedSize
from sparsify.bayes.variational import VariationalSettings, fit_posterior
from sparsify.compress.recovery import Recovery, RecoverySettings
from sparsify.compress.remove import remove, settled
from sparsify.compress.zeros import Zeros
from sparsify.cuts import Cuts
from sparsify.data import loaded
from sparsify.measure.size import SIZES, Size, counted, counts, size
from sparsify.settings import InputError, NonNegative, PositiveInt, Seed, Settings, amount, build
from sparsify.shrink_checks import check_kinds, copied, usable
from sparsify.shrink_report import ShrinkReport
from sparsify.shrink_state import Files, check_writable, described, digest, known
from sparsify.structure import Structure
from sparsify.task import Loss, Metric, Task
from sparsify.training import seed_draws

# what the Bayesian training leads to where only an accuracy is wished: small, to have cuts of all sizes
SEARCHED, SEARCHED_SINGLE = Target(macs=0.1), Target(nonzeros=0.05)


@dataclass(frozen=True)
class _Checked(Settings):
    max_drop: NonNegative | None
    trial_epochs: PositiveInt | None
    inputs: bool
    seed: Seed


@torch.inference_mode(False)  # wherever it is called: it trains
@torch.enable_grad()
def shrink(model: nn.Module, train_loader: Any, validation_loader: Any, *, target: Mapping[str, float] | Target | None = None,
           max_drop: float | None = None, prior: str | PriorSettings | None = None, bayesian: VariationalSettings | None = None,
           recovery: RecoverySettings | None = None, teacher: nn.Module | None = None, trial_epochs: int | None = None,
           loss: Loss | None = None, metric: Metric | None = None, inputs: bool = False, protect: Collection[str] = (),
           state: str | Path | None = None, seed: int = 0, device: str | torch.device | None = None) -> tuple[nn.Module, ShrinkReport]:
    """A smaller copy of `model`, a trained network, of its own class, in evaluation, where `model` lies; and a report to print.

    train_loader, validation_loader: torch DataLoaders of (inputs, targets). What they do to examples they go on doing, epoch by epoch;
        tensors that are only shuffled (a TensorDataset) move to the device once. Validation chooses: keep other examples for a test.
    target: what may be left: one of units, weights, nonzeros, macs, as a share of the whole below 1, or as a count.
    max_drop: or else how far the small network may end under the dense one on validation, in points of accuracy (or of `metric`): the
        smallest that a search finds, with a recovery at each size that is tried, of `trial_epochs` (recovery's, if not given). Where
        nothing smaller keeps it, `model` comes back as it was.
    prior: its kind, which is then charged by what the target counts, or its settings; if not given gates on units, for a target of
        nonzeros `log_uniform` on single weights, which is led to twice as many and cut by half. With `max_drop`, the target or beta of the
        settings is where the Bayesian training leads.
    bayesian, recovery: how both are trained, but for the batch size, which is the loader's.
    teacher: the network whose answers the small one learns in recovery, a larger one say; the model itself if not given.
    loss: for what is not classification: of outputs and targets, their mean loss. Recovery then learns from the targets alone.
    metric: of all outputs and targets of validation, a number that grows as the network gets better; if not given the accuracy in
        percent, or with `loss` the loss with its sign turned.
    inputs: features of the input may leave too, where linear layers read them. protect: streams and modules that keep their width.
    state: a folder that keeps the state of each training: the same call goes on from there after an interruption, and comes to its end
        at once after that; yours to delete. Augmentation that draws from torch goes on as it would have; from `random` or numpy, anew.
        Another call is refused; what a Dataset of your own gives, and globals that a loss reads, are not compared.
    seed: of all draws; torch's own random state is left as it was.
    device: if not given, a GPU if there is one. Mixed precision and captured steps are used where they are.

    Raises InputError for what cannot be used, before anything is trained where that shows."""
    given = build(_Checked, {"max_drop": max_drop, "trial_epochs": trial_epochs, "inputs": inputs, "seed": seed})
    wish = _wish(target, max_drop)
    check_kinds(model=model, bayesian=bayesian, recovery=recovery, teacher=teacher, loss=loss, metric=metric, protect=protect, state=state)
    if teacher is not None and loss is not None:
        raise InputError("both teacher and loss are given; with a loss of your own recovery learns from the targets alone: leave one out")
    device = usable(device)
    prior, ours = _prior(prior, wish)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        (train, batch_size), (validation, _) = (loaded(loader, device, name, classes=loss is None) for loader, name in (
            (train_loader, "train_loader"), (validation_loader, "validation_loader")))
        task = Task(train, validation, loss, metric)
        bayesian, recovery = bayesian or VariationalSettings(), recovery or RecoverySettings()
        bayesian = replace(bayesian, train=replace(bayesian.train, batch_size=batch_size))
        recovery = replace(recovery, train=replace(recovery.train, batch_size=batch_size))
        dense = copied(model, "model", device)
        task.check(dense)
        teaching = dense if teacher is None else copied(teacher, "teacher", device)
        task.check_teacher(teaching, dense)
        check_writable(state)
        files = Files(state, {} if state is None else {
            "model": digest(dense), "teacher": "" if teacher is None else digest(teaching), "data": described(task), "loss": known(loss),
            "metric": known(metric), "wish": repr(wish), "prior": repr((prior, ours)), "options": repr((given, sorted(protect))),
            "bayesian": repr(bayesian), "recovery": repr(recovery)})
        try:
            small, report = _shrunk(dense, teaching, task, wish, prior, ours, bayesian, recovery, given, protect, files)
        except artifacts.FileError as error:  # of a state
            raise InputError(f"{error}; delete that file, and its training begins anew") from None
    home = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    return small.to(home), report


def _shrunk(dense: nn.Module, teacher: nn.Module, task: Task, wish: Target, prior: PriorSettings, ours: bool,
            bayesian: VariationalSettings, recovery: RecoverySettings, given: _Checked, protect: Collection[str],
            files: Files) -> tuple[nn.Module, ShrinkReport]:
    start, example, score_dense = time.perf_counter(), task.example, task.score(dense)
    structure = settled(dense, example)
    before = size(dense, structure, example)
    twin = bayesianize(dense, example, prior, inputs=given.inputs, protect=protect, structure=structure)
    prior = replace(prior, target=_lead(prior, wish, ours, twin, structure, before))
    learnt = task.learnt(bayesian.train, dense, bayesian.distill, bayesian.temperature)(twin)
    seed_draws(task.train, given.seed)
    zeros = Zeros(twin, without=noise_parameters(twin))  # of a network that was pruned before
    bayesian_curve = fit_posterior(
        twin, structure, counts(before), task.train, learnt, prior, bayesian, lambda: task.scored(twin),
        f"bayesian ({prior.kind})", files.path("bayesian"), {"zeros": zeros}, zeros.hold)
    cuts = Cuts(bake(twin), log_alphas(twin), structure, example, given.inputs, protect, before)
    recovering = Recovery(task.train, task.learnt(recovery.train, teacher, recovery.distill, recovery.temperature),
                          task.scored, recovery.train, given.seed, recovery.regrow)
    trials = list[budget.Trial]()
    if given.max_drop is None:
        found: float | None = cuts.exactly(wish)
    else:
        epochs = given.trial_epochs or recovery.train.epochs
        found, trials = budget.search(cuts, score_dense, given.max_drop, recovering, epochs, files.path("trials"))
    small, removal = remove(dense, example, structure=structure) if found is None else cuts.cut(found)  # None: it stays as it was
    score_cut = task.score(small)
    curve = [] if found is None else recovering(small, "recovery", state=files.path("recovery"))
    score = task.score(small)
    after = cuts.size(small)
    said = budget.kept(score_dense - score, given.max_drop) if given.max_drop is not None else _said(wish, cuts, after)
    return small.eval(), ShrinkReport(
        before, after, task.measure, score_dense, score_cut, score, said, cuts.whole if found is None else found, tuple(trials), removal,
        {"bayesian": bayesian_curve, "recovery": curve}, time.perf_counter() - start)


def _wish(target: Mapping[str, float] | Target | None, max_drop: float | None) -> Target:
    """The target; an empty one for max_drop. Raises InputError for both or none of them."""
    if (target is None) == (max_drop is None):
        raise InputError(f"{'both target and max_drop are' if target is not None else 'neither target nor max_drop is'} given; give one: "
                         'target={"macs": 0.3} for a size, or max_drop=0.5 for an accuracy')
    if target is None or isinstance(target, Target):
        wish = target or Target()
    elif not isinstance(target, Mapping) or len(target) != 1 or not set(target) <= set(SIZES):
        raise InputError(f'target is {target!r}; it has to be one of {", ".join(SIZES)} with a share or a count, as in {{"macs": 0.3}}')
    else:
        wish = Target(**target)
    if target is not None and not wish.given():
        raise InputError(f"target says nothing; give one of {', '.join(SIZES)}")
    return wish


def _prior(prior: str | PriorSettings | None, wish: Target) -> tuple[PriorSettings, bool]:
    """With the target that is wished, or else the one to lead to; and whether that is ours."""
    ours = not wish.given() and not isinstance(prior, PriorSettings)
    if prior is None:
        prior = "log_uniform" if "nonzeros" in wish.given() else "gate"
    if isinstance(prior, str):
        lead = wish if wish.given() else SEARCHED_SINGLE if prior in KINDS and KINDS[prior].groups == "weights" else SEARCHED
        (by, _), = lead.given().items()
        prior = PriorSettings(prior, kl_weight="weights" if by == "nonzeros" else by, target=lead)
    if not isinstance(prior, PriorSettings):
        raise InputError(f"prior is {prior!r}; it has to be one of {', '.join(KINDS)}, or a PriorSettings")
    return replace(prior, target=wish) if wish.given() else prior, ours


def _lead(prior: PriorSettings, wish: Target, ours: bool, twin: nn.Module, structure: Structure, before: Size) -> Target:
    """Where the Bayesian training leads: to the wish, but of single weights to twice as many, which are then cut by half (docs/targets.md
    section 1). Where an accuracy is wished and nothing is said of a size, to a share of what can leave, not of what is protected too."""
    for by, value in prior.target.given().items():
        whole = counted(before, by)
        share = value if value < 1 else value / whole
        if wish.given() and KINDS[prior.kind].groups == "weights" and share < 1:
            return Target(**{by: whole * min(2 * share, math.sqrt(share))})
        if ours:
            least = ExpectedSize(twin, structure, by, whole).least
            if least >= whole:
                raise InputError(f"nothing of it can leave: {least:,.0f} {by} of {whole:,} stay at least, one unit of each layer and what "
                                 "has no prior; give another prior, or a larger network")
            return Target(**{by: least + share * (whole - least)})
    return prior.target


def _said(wish: Target, cuts: Cuts, after: Size) -> str:
    (by, value), = wish.given().items()
    left = counted(after, by)
    missed = f", not reached: {left:,} are left, as not all could be cut" if left > cuts.most(wish) else ""
    return f"target: {by} {amount(value)}{missed}"
