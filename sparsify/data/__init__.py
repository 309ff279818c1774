"""Data sets: where they come from, and how they lie on disk and on the device.

named.py      the data sets known by name
storage.py    the file that the stages share
splits.py     what networks are trained and measured on
augment.py    pictures moved about"""

from sparsify.data.augment import crop_and_flip
from sparsify.data.named import NAMES, Raw, fetch
from sparsify.data.splits import Dataset, Split
from sparsify.data.storage import PARTS, load, save

__all__ = ["NAMES", "PARTS", "Dataset", "Raw", "Split", "crop_and_flip", "fetch", "load", "save"]
