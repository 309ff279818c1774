"""One page of the run, report.html: the headline, both networks, all figures and pictures, what to try next, and how to make it again.

What the page is made of lies in stages/page/. A run without controls, benchmark, uncertainty or sweep has a page without them."""

import base64
import hashlib
import io
import shlex
from dataclasses import asdict
from typing import Any

import yaml

from sparsify import artifacts
from sparsify.compress import store
from sparsify.settings import InputError
from stages import compose, film, runtime
from stages.carve_picture import left
from stages.page import advice, charts, drawing, facts, network, render
from stages.page.facts import Facts
from stages.params import Params


def report(params: Params) -> None:
    artifacts.write_bytes(runtime.REPORT, page(params, facts.read()).encode())


def page(params: Params, found: Facts) -> str:
    plain = yaml.safe_load(yaml.safe_dump(_plain(asdict(params))))
    running = _running(found)
    timed, trusted = "benchmark" in found.metrics, "uncertainty" in found.metrics
    return render.rendered(
        "report.html.j2", params=plain, params_text=yaml.safe_dump(plain, sort_keys=False), sentence=facts.sentence(found),
        drawings=drawing.drawings(found), carved=_carved(params.prune.order),
        methods=list(found.methods.values()), batches=sorted(found.methods["dense"].latency_ms),
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


def _carved(order: str) -> dict[str, Any] | None:
    """The training as an animation, and as its last frame for who wants none, where the run kept frames."""
    frames = film.read(runtime.SNAPSHOTS) if runtime.SNAPSHOTS.is_file() else {}
    if "epoch" not in frames:
        return None
    threshold, still = film.cut_at(runtime.METRICS / "prune.json", order), io.BytesIO()
    images = film.images(frames, threshold)
    images[-1].save(still, "webp", lossless=True)
    shares = [f"{name} {share[-1]:.0f} %" for name, share in left(frames, threshold).items()]
    try:
        moving = film.animated(images, 1024 * film.MOST)
    except InputError:  # too many frames for a page: it shows the last
        moving = still.getvalue()
    return {"animation": _data(moving), "still": _data(still.getvalue()), "size": images[0].size,
            "words": f"The network over {frames['epoch'][-1]} epochs of the Bayesian training. At the end is left: {', '.join(shares)}."}


def _data(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


def _running(found: Facts) -> dict[str, Any] | None:
    """The compact network, where the page can run it. One whose code is the user's is not imported for that."""
    try:
        return network.runnable(store.load(runtime.COMPACT), found.network["data"])
    except artifacts.FileError:
        raise
    except InputError:
        return None


def _recommended(found: Facts) -> str:
    said = []
    for name, best in found.metrics["benchmark"]["recommended"].items():
        network, engine, threads = best["choice"].split(", ")
        how = charts.way(engine, int(threads.removeprefix("threads: ")))
        said.append(f"for a batch of {int(name.removeprefix('batch_')):,} {network} in {how} ({render.short(best['latency_ms'])} ms)")
    return f"The fastest of those that keep the accuracy on validation: {'; '.join(said)}."


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
