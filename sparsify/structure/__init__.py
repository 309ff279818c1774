"""Which units of any network leave together: export.py (its graph) -> walk.py (the graph run on labels, by rules.py) -> streams.py.

units.py is a union-find over labels; contractions.py, norms.py and movement.py hold the rules; cut.py slices a copy. docs/structure.md
tells the idea, the rules and the limits."""

from sparsify.structure.streams import COSTS, Slot, Stream, Structure, listed, protected, unit_costs, weight_costs
from sparsify.structure.walk import analyse, streams

__all__ = ["COSTS", "Slot", "Stream", "Structure", "analyse", "listed", "protected", "streams", "unit_costs", "weight_costs"]
