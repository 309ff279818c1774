"""What a Bayesian training step costs beside a dense one: the same data, optimiser and loop, the contenders in turn.

    python -m benchmarks.training                                            LeNet-300-100, batch 128 and 512
    python -m benchmarks.training --model mlp --batch-sizes 512
    python -m benchmarks.training --widths 1 2 4 8 16 --batch-sizes 128      step time and memory against width

`plain` is a prior whose KL and gradient are left to autograd; bayesian-torch takes part where it is installed."""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from sparsify import models
from sparsify.bayes.convert import bayesian_layers, bayesianize
from sparsify.bayes.objective import negative_elbo, update_priors
from sparsify.bayes.priors import KINDS, Prior, PriorSettings
from sparsify.training import TrainSettings, cross_entropy, descend, make_optimizer
from stages import runtime

INPUTS = {"lenet-300-100": (1, 28, 28), "lenet5": (1, 28, 28), "mlp": (1, 28, 28), "vgg16": (3, 32, 32)}
SETTINGS = TrainSettings(epochs=1, batch_size=1, optimizer="adamw", lr=1e-3, weight_decay=0.0, label_smoothing=0.0,
                         input_noise=0.0, input_dropout=0.0, augment=False)
N_DATA = 60000
Step = Callable[[], None]


def contenders(name: str, width: float, batch_size: int, device: torch.device) -> dict[str, Step]:
    images = torch.randn(batch_size, *INPUTS[name], device=device)
    labels = torch.randint(10, (batch_size,), device=device)
    steps = {"dense": _dense(_network(name, width, device), images, labels)}
    for kind in KINDS:
        steps[kind] = _bayesian(name, width, kind, images, labels)
    steps["mixture, indicator neuron"] = _bayesian(name, width, "mixture", images, labels, indicator="neuron")
    if name in models.MLP_WIDTHS:
        steps["gate, pixels too"] = _bayesian(name, width, "gate", images, labels, inputs=True)
    for kind in ("log_uniform", "mixture"):
        steps[f"{kind}, plain"] = _bayesian(name, width, kind, images, labels, plain=True)
    peer = _bayesian_torch(name, width, images, labels)
    return steps | ({"bayesian-torch, reparameterised": peer} if peer else {})


def milliseconds(steps: dict[str, Step], rounds: int, per_round: int) -> dict[str, list[float]]:
    for step in steps.values():
        for _ in range(3):
            step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            _wait()
            start = time.perf_counter()
            for _ in range(per_round):
                step()
            _wait()
            times[name].append(1e3 * (time.perf_counter() - start) / per_round)
    return times


def table(times: dict[str, list[float]]) -> str:
    lines = ["| step | ms, median (quartiles) | times dense, median (quartiles) |", "| --- | --- | --- |"]
    for name, values in times.items():
        ratios = [value / dense for value, dense in zip(values, times["dense"], strict=True)]
        lines.append(f"| {name} | {_spread(values)} | {_spread(ratios)} |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{median:.2f} ({low:.2f}-{high:.2f})"


def _network(name: str, width: float, device: torch.device) -> nn.Sequential:
    return models.build(name, INPUTS[name], 10, width).to(device).train()


def _dense(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Step:
    optimizer, loss = make_optimizer(network, SETTINGS), cross_entropy(network, SETTINGS)

    def step() -> None:
        descend(optimizer, loss(images, labels, 1.0))
    return step


def _bayesian(name: str, width: float, kind: str, images: torch.Tensor, labels: torch.Tensor, *, indicator: str = "weight",
              inputs: bool = False, plain: bool = False) -> Step:
    settings = PriorSettings(kind, 1.0, "weights", 0.01, indicator, 1e-6)
    twin = bayesianize(_network(name, width, images.device), settings, inputs)
    if plain:
        for layer in bayesian_layers(twin).values():
            layer.prior.kl_sum = lambda *arguments, prior=layer.prior: Prior.kl_sum(prior, *arguments)
    optimizer, loss = make_optimizer(twin, SETTINGS), negative_elbo(twin, N_DATA, 1.0, 0, 0.0)

    def step() -> None:
        descend(optimizer, loss(images, labels, 1.0))
        update_priors(twin)
    return step


def _bayesian_torch(name: str, width: float, images: torch.Tensor, labels: torch.Tensor) -> Step | None:
    try:
        from bayesian_torch.models.dnn_to_bnn import dnn_to_bnn, get_kl_loss
    except ImportError:
        return None
    network = _network(name, width, images.device)
    dnn_to_bnn(network, {"prior_mu": 0.0, "prior_sigma": 1.0, "posterior_mu_init": 0.0, "posterior_rho_init": -3.0,
                         "type": "Reparameterization", "moped_enable": False})
    optimizer = make_optimizer(network, SETTINGS)

    def step() -> None:
        nll = F.cross_entropy(network(images), labels)
        descend(optimizer, {"nll": nll, "kl": get_kl_loss(network) / N_DATA})
    return step


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=INPUTS, default="lenet-300-100")
    parser.add_argument("--widths", type=float, nargs="+", default=[1.0])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=10, help="steps a round and contender")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    runtime.keep_freed_memory()
    print(", ".join(f"{key} {value}" for key, value in runtime.provenance(0).items() if key != "seed"))
    for width in arguments.widths:
        for batch_size in arguments.batch_sizes:
            steps = contenders(arguments.model, width, batch_size, runtime.device())
            print(f"\n{arguments.model}, width {width:g}, batch {batch_size}, {arguments.rounds} rounds of {arguments.steps} steps\n")
            print(table(milliseconds(steps, arguments.rounds, arguments.steps)), flush=True)


if __name__ == "__main__":
    main()
