"""The README's example of the library, run as it stands there."""

import re
from pathlib import Path

import torch

README = Path(__file__).parent.parent / "README.md"


def test_library_example_removes_units_and_keeps_the_outputs():
    torch.manual_seed(0)
    inputs = torch.randn(300, 20)
    given = {"batches": [(inputs, inputs[:, :3].argmax(1))] * 150, "n_examples": len(inputs)}
    section = README.read_text().split("## Library")[1].split("\n## ")[0]
    exec(re.search(r"```python\n(.*?)```", section, re.S)[1], given)
    small, masked = given["small"], given["masked"]
    assert 1 <= small[0].out_features < 100
    torch.testing.assert_close(small(inputs), masked.eval()(inputs))
    assert (small(inputs).argmax(1) == given["batches"][0][1]).float().mean() > 0.8
