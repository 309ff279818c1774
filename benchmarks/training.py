"""What a Bayesian training step costs beside a dense one: the same data, optimiser and loop, the contenders in turn.

    python -m benchmarks.training --threads 1
    python -m benchmarks.training --model lenet5 --precision bfloat16 --batch-sizes 256 --threads 1
    python -m benchmarks.training --model vgg16 --precision bfloat16 --batch-sizes 128 --only gate --rounds 3 --steps 2
    python -m benchmarks.training --threads 1 --profile log_uniform    where the time of one step goes, instead

Variants: `plain KL` leaves the KL and its gradient to autograd, `float32 noise` computes variances in full precision, `randn_like`
draws noise in the precision and layout that it is needed in, `compiled` has torch.compile on the whole loss: on the hand-written form, and
on the plain one. bayesian-torch takes part where it is installed: reparameterised, one draw of the weights a batch, and Flipout, which
tells the examples apart as local reparameterisation does.

On a GPU `captured` replays the step as a CUDA graph (sparsify/capture.py) and is compared with the dense step, captured as well; the
kernels of a step, and for how long they run, stand beside its time by the clock."""

import argparse
from collections.abc import Callable, Collection
from functools import partial
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import report
from benchmarks.timing import Step, kernels, milliseconds, where_time_goes
from sparsify import capture, models
from sparsify.bayes import layers
from sparsify.bayes.convert import bayesianize
from sparsify.bayes.groups import groups_of
from sparsify.bayes.objective import negative_elbo, update_priors
from sparsify.bayes.priors import KINDS, Prior, PriorSettings
from sparsify.losses import cross_entropy
from sparsify.precision import fast_dtype
from sparsify.training import PRECISIONS, Batch, LossFunction, Terms, TrainSettings, descend, make_optimizer
from stages import runtime

INPUTS = {"lenet-300-100": (1, 28, 28), "lenet5": (1, 28, 28), "mlp": (1, 28, 28), "vgg16": (3, 32, 32)}
SETTINGS = TrainSettings(epochs=1, batch_size=1, optimizer="adamw", lr=1e-3, weight_decay=0.0, label_smoothing=0.0,
                         input_noise=0.0, input_dropout=0.0, shift=0, flip=False, precision="float32")
N_DATA = 60000
VARIANTS = ("plain KL", "float32 noise", "randn_like", "compiled", "plain KL, randn_like, compiled")
PEERS = {"bayesian-torch, reparameterised": "Reparameterization", "bayesian-torch, Flipout": "Flipout"}
CAPTURED = ", captured"


def contenders(name: str, width: float, batch_size: int, device: torch.device, only: Collection[str] | None = None,
               precision: str = "float32") -> dict[str, Step]:
    images = torch.randn(batch_size, *INPUTS[name], device=device)
    batch = Batch(images, images, torch.randint(10, (batch_size,), device=device),
                  torch.arange(batch_size, device=device), epochs_done=1.0)
    bayesian = partial(_bayesian, name, width, batch, precision)
    makers = {"dense": partial(_dense, name, width, batch, precision), **{kind: partial(bayesian, kind) for kind in KINDS},
              "mixture, indicator neuron": partial(bayesian, "mixture", indicator="neuron"),
              **{f"{kind}, {variant}": partial(bayesian, kind, variant=variant)
                 for kind in ("log_uniform", "mixture") for variant in VARIANTS}}
    if name in models.MLP_WIDTHS:
        makers["gate, pixels too"] = partial(bayesian, "gate", inputs=True)
    if capture.recorder_for(device):
        makers |= {f"{contender}{CAPTURED}": partial(makers[contender], captured=True) for contender in ("dense", *KINDS)}
    if (only is None or not PEERS.keys().isdisjoint(only)) and report.optional("bayesian_torch"):
        makers |= {peer: partial(_bayesian_torch, name, width, batch, precision, kind) for peer, kind in PEERS.items()}
    return {contender: make() for contender, make in makers.items()
            if only is None or contender.removesuffix(CAPTURED) in only}


def rows(times: dict[str, list[float]], **about: str | float) -> list[dict]:
    """A row a contender: milliseconds, and how many times the dense step of the same round, captured like itself."""
    def times_dense(name: str) -> list[float]:
        dense = times[f"dense{CAPTURED}" if name.endswith(CAPTURED) else "dense"]
        return [mine / other for mine, other in zip(times[name], dense, strict=True)]
    return [{**about, "step": name, **{f"ms_{key}": value for key, value in report.spread(values).items()},
             **{f"times_dense_{key}": value for key, value in report.spread(times_dense(name), 3).items()}}
            for name, values in times.items()]


def _network(name: str, width: float, device: torch.device) -> nn.Sequential:
    return models.build(name, INPUTS[name], 10, width).to(device).train()


def _dense(name: str, width: float, batch: Batch, precision: str, captured: bool = False) -> Step:
    network = _network(name, width, batch.images.device)
    return _step(network, cross_entropy(network, SETTINGS), batch, precision, captured=captured)


def _step(network: nn.Module, loss: LossFunction, batch: Batch, precision: str, after_step: Callable[[], None] = lambda: None,
          captured: bool = False) -> Step:
    """A step of the loop in sparsify/training.py"""
    optimizer, device = make_optimizer(network, SETTINGS), batch.images.device
    mixed = precision == "bfloat16" and fast_dtype(device.type) is torch.bfloat16
    network.to(memory_format=torch.channels_last)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            terms = loss(batch)
        descend(optimizer, terms)
        after_step()
    recorder = capture.recorder_for(device) if captured else None
    if recorder is None:
        return step
    with recorder.stream():
        for _ in range(capture.WARM_UP):
            step()
        return capture.record(recorder, step, optimizer)


def _bayesian(name: str, width: float, batch: Batch, precision: str, kind: str, *, indicator: str = "weight",
              inputs: bool = False, variant: str = "", captured: bool = False) -> Step:
    settings = PriorSettings(kind, 1.0, "weights", 0.01, indicator, 1e-6)
    twin = bayesianize(_network(name, width, torch.device("cpu")), torch.zeros(2, *INPUTS[name]), settings, inputs=inputs)
    twin.to(batch.images.device)
    parts = variant.split(", ")
    if "plain KL" in parts:
        for group in groups_of(twin):
            group.prior.kl_sum = lambda *arguments, prior=group.prior: Prior.kl_sum(prior, *arguments)
    elbo = negative_elbo(twin, cross_entropy(twin, SETTINGS), N_DATA, 1.0, 0)
    if "compiled" in parts:
        elbo = torch.compile(elbo)
    dtype = (lambda device_type: torch.float32) if "float32 noise" in parts else layers.fast_dtype
    noise_like = torch.randn_like if "randn_like" in parts else layers.noise_like

    def loss(batch: Batch) -> Terms:
        with patch.multiple(layers, fast_dtype=dtype, noise_like=noise_like):
            return elbo(batch)
    return _step(twin, loss, batch, precision, lambda: update_priors(twin), captured)


def _bayesian_torch(name: str, width: float, batch: Batch, precision: str, kind: str) -> Step:
    from bayesian_torch.models.dnn_to_bnn import dnn_to_bnn, get_kl_loss

    network = _network(name, width, batch.images.device)
    dnn_to_bnn(network, {"prior_mu": 0.0, "prior_sigma": 1.0, "posterior_mu_init": 0.0, "posterior_rho_init": -3.0,
                         "type": kind, "moped_enable": False})

    def loss(batch: Batch) -> Terms:
        return {"nll": F.cross_entropy(network(batch.images), batch.labels), "kl": get_kl_loss(network) / N_DATA}
    return _step(network, loss, batch, precision)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=INPUTS, default="lenet-300-100")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--give-memory-back", action="store_true", help="leave glibc as it is, to see what keeping memory brings")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=10, help="steps a round and contender")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--only", nargs="+", choices=KINDS, help="these priors beside dense, without variants and peers")
    part.add_argument("--profile", nargs=1, choices=["dense", *KINDS], help="tells of this step, batch by batch, instead of timing all")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if not arguments.give_memory_back:
        runtime.keep_freed_memory()
    about = report.provenance("bayesian-torch", threads=torch.get_num_threads(), rounds=arguments.rounds, steps_a_round=arguments.steps,
                              memory="given back" if arguments.give_memory_back else "kept")
    print(about)
    only = ["dense", *arguments.only] if arguments.only else arguments.profile
    results = []
    for batch_size in arguments.batch_sizes:
        steps = contenders(arguments.model, arguments.width, batch_size, runtime.device(), only, arguments.precision)
        if arguments.profile:
            for name, step in steps.items():
                print(f"{name}, batch {batch_size}", report.table(where_time_goes(step)), sep="\n")
            continue
        times = milliseconds(steps, arguments.rounds, arguments.steps)
        about_step = {"model": arguments.model, "width": arguments.width, "batch": batch_size, "precision": arguments.precision}
        results += [row | kernels(steps[row["step"]]) for row in rows(times, **about_step)]
    if not results:
        return
    print(report.table(results))
    particular = [*(["gpu"] if torch.cuda.is_available() else []), *([f"width-{arguments.width:g}"] if arguments.width != 1 else []),
                  *([arguments.precision] if arguments.precision != "float32" else []), *(arguments.only or [])]
    report.write("-".join(["training", arguments.model, *particular]), about, results)


if __name__ == "__main__":
    main()
