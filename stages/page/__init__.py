"""The page of a run: what its files say, pictures and advice made of that, and the templates that bring them together."""
