"""Networks, by name: `Architecture` is all that makes one, as plain data.

chains.py resnet.py vit.py   the built-in ones
registry.py                  those of torchvision, fitted to the images
own.py                       those that a function of the user's makes
architecture.py              which of them a name means
weights.py                   dense weights from a file"""

from sparsify.models.architecture import NAME, NAMES, Architecture, Width, build
from sparsify.models.chains import MLP_WIDTHS, VGG16_WIDTHS

__all__ = ["MLP_WIDTHS", "NAME", "NAMES", "VGG16_WIDTHS", "Architecture", "Width", "build"]
