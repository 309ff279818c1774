"""From a plain network and masks to a smaller plain network: chain.py <- masks.py, compact.py; threshold.py chooses."""
