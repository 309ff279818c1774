"""Which units of any network leave together: analyse.py exports its graph, walks through it on labels, and finds the streams.

units.py (union-find) <- streams.py, walk.py <- contractions.py heads.py norms.py movement.py <- rules.py (all of them) <- analyse.py
docs/structure.md tells the idea, the rules and the limits."""

from sparsify.structure.streams import COSTS, Slot, Stream, Structure, unit_costs, weight_costs
from sparsify.structure.analyse import analyse, streams

__all__ = ["COSTS", "Slot", "Stream", "Structure", "analyse", "streams", "unit_costs", "weight_costs"]
