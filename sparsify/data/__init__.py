"""Data sets: where they come from, and how they lie on disk and on the device.

named.py      the data sets known by name
folder.py     a folder of images (images.py: how one becomes a tensor)
functions.py  what a Python function returns
examples.py   what all of these come as
writing.py    from that to the folder that the stages share
storage.py    the folder, and how it is read
splits.py     what networks are trained and measured on
mapped.py     what is too large stays on the disk (memory.py: what is too large)
loaded.py     or what a torch DataLoader gives
augment.py    images moved about"""

from sparsify.data.augment import moved, moves
from sparsify.data.examples import Raw, Source
from sparsify.data.loaded import Loaded, loaded
from sparsify.data.named import NAMES, fetch
from sparsify.data.splits import Dataset, Scaling, Split
from sparsify.data.storage import PARTS, load
from sparsify.data.writing import save

__all__ = ["NAMES", "PARTS", "Dataset", "Loaded", "Raw", "Scaling", "Source", "Split", "fetch", "load", "loaded", "moved",
           "moves", "save"]
