"""One page of the run, report.html: the headline, both networks, all figures and pictures, what to try next, and how to make it again.

What the page is made of lies in stages/page/. A run without controls, benchmark, uncertainty or sweep has a page without them."""

import hashlib
import shlex
from dataclasses import asdict
from typing import Any

import yaml

from sparsify import artifacts
from sparsify.compress import store
from sparsify.settings import InputError
from stages import compose, runtime
from stages.page import advice, charts, drawing, facts, network, render
from stages.page.facts import Facts
from stages.params import Params


def report(params: Params) -> None:
    artifacts.write_bytes(runtime.REPORT, page(params, facts.read()).encode())
    print(f"The page of this run: {runtime.REPORT.resolve()}")


def page(params: Params, found: Facts) -> str:
    plain = yaml.safe_load(yaml.safe_dump(_plain(asdict(params))))
    running = _running(found)
    timed, trusted = "benchmark" in found.metrics, "uncertainty" in found.metrics
    return render.rendered(
        "report.html.j2", params=plain, params_text=yaml.safe_dump(plain, sort_keys=False), sentence=facts.sentence(found),
        drawings=drawing.drawings(found), methods=list(found.methods.values()), batches=sorted(found.methods["dense"].latency_ms),
        timed_on=found.metrics["benchmark"]["device"] if timed else None,
        threads=found.metrics["benchmark"]["threads"] if timed else 0, sweep="sweep" in found.tables,
        curves=charts.curves(found), left=charts.what_is_left(found), units=charts.units(found),
        latency=charts.latency(found) if timed else [], recommended=_recommended(found) if timed else "",
        uncertainty=charts.uncertainty(found) if trusted else [],
        removal=found.network["provenance"].get("removal"), threshold=found.metrics["prune"]["threshold"],
        advice=advice.advice(found, plain), provenance=found.metrics["prune"], command=_command(plain),
        digest=hashlib.sha256(runtime.COMPACT.read_bytes()).hexdigest(),
        network=running, totals=dict(zip(found.tables["units"]["layer"], found.tables["units"]["total"].tolist(), strict=True)),
        program=render.text("network.js") + render.text("draw.js"))


def _running(found: Facts) -> dict[str, Any] | None:
    """The compact network, where the page can run it. One whose code is the user's is not imported for that."""
    try:
        return network.runnable(store.load(runtime.COMPACT), found.network["data"])
    except artifacts.FileError:
        raise
    except InputError:
        return None


def _recommended(found: Facts) -> str:
    said = [f"for a batch of {int(name.removeprefix('batch_')):,}: {best['choice']} ({render.short(best['latency_ms'])} ms)"
            for name, best in found.metrics["benchmark"]["recommended"].items()]
    return f"The fastest that keeps its accuracy on validation, {'; '.join(said)}."


def _command(params: dict[str, Any]) -> str:
    """The experiment that makes these figures, by what it has otherwise than its recipe."""
    name = params["recipe_name"]
    try:
        recipe = compose.composed(f"recipe={name}")
    except InputError:  # a recipe of before
        recipe = params
    changed = [f"{key}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}"
               for key, value in render.differences(params, recipe)]
    return shlex.join(["dvc", "exp", "run", *(word for pair in (f"recipe={name}", *changed) for word in ("-S", pair))])


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


if __name__ == "__main__":
    runtime.main(report)
