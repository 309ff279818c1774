"""What a plain network costs and what it is worth: size.py, latency.py, accuracy.py."""
