"""The few figures that a run is judged by, of all its stages but the sweep: those that dvc exp show and dvc metrics diff are read for."""

from sparsify import artifacts
from stages import runtime
from stages.page import facts
from stages.params import Params


def headline(params: Params) -> None:
    found = facts.figures(optional=("controls", "benchmark", "uncertainty"))
    artifacts.write_json(runtime.METRICS / "headline.json", facts.headline(found))
    print(facts.sentence(found))


if __name__ == "__main__":
    runtime.main(headline)
