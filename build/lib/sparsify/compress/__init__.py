"""From a plain network and masks to a smaller network of the same class: masks.py -> cut.py, exact.py -> proof.py -> remove.py, report.py.

magnitude.py and threshold.py choose what goes; store.py keeps what is left."""
