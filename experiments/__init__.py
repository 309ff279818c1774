"""What was tried, and the way from experiments to the tables and pictures of docs/: `python -m experiments.NAME`.

collect.py     DVC's experiments -> results.csv, a row a recipe, method and seed
results.py     results.csv, published.yaml -> the picture and the tables of results
orders.py      which unit goes next: orders of removal at equal size -> docs/tables/orders.md
targets.py     whether a target holds -> docs/targets.md, docs/tables/targets.md
guide.py       the table of a frontier -> docs/guide.md
sweeps.py      metrics of sweeps -> the sentences and pictures of docs/sweep.md
vgg16.py       channels kept, latency and widths of VGG-16 -> docs/tables/vgg16.md
structure_pictures.py   two small networks -> the pictures of docs/structure.md

`collect` and `results` work in results/, a folder that git ignores; with --docs on what the project itself keeps in docs/. `orders` and
`targets` keep what they measure in experiments/results/ and put it into docs/ with --docs; the others write into docs/. What a thing costs
is in benchmarks/."""

import stages  # noqa: F401  how threads wait, before torch is loaded
