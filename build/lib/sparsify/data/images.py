"""Images as Pillow decodes them, and what becomes of them: torchvision's transforms (v2) and nothing else."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".pgm", ".ppm")
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM")  # of Pillow
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")  # of Pillow, 8 bits a channel


@dataclass(frozen=True)
class Prepare:
    """An image of Pillow, or a tensor (C, H, W), -> (C, H, W), of bytes where those came.

    size: the shorter side is resized to it, and a square cut out of the middle; None: as it is. channels: 1, 3, or None: as they are."""

    size: int | None = None
    channels: int | None = None

    def __call__(self, image: Any) -> Tensor:
        if self.size:
            width, height = image.size if not isinstance(image, Tensor) else (image.shape[2], image.shape[1])
            if self.size**2 * max(width, height) / min(width, height) > 1 << 26:  # else a sliver would become gigabytes
                raise ValueError(f"it is {width}x{height}, too long to be resized")
        return self._transform(image)

    @cached_property
    def _transform(self) -> Callable[[Any], Tensor]:
        from torchvision.transforms import v2  # takes longer to import than torch

        steps: list[Any] = [v2.Resize(self.size, antialias=True), v2.CenterCrop(self.size)] if self.size else []
        if self.channels:
            steps.append({1: v2.Grayscale(1), 3: v2.RGB()}[self.channels])
        return v2.Compose([*steps, _tensor])


def read(path: Path, prepare: Prepare) -> Tensor:
    """(C, H, W) uint8, one channel of a grey image and three of any other. Raises ValueError with the reason why it cannot be read."""
    from PIL import Image, ImageOps

    if path.exists() and not path.is_file():  # a pipe would never end
        raise ValueError("it is not a file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage beside the pixels, as in a camera's notes
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                if image.format == "PNG" and image.tile and "16" in str(image.tile[0][3]):  # Pillow reads it in 8 bits
                    raise ValueError("it does not have 8 bits a channel")
                if prepare.size:
                    image.draft(None, (2 * prepare.size, 2 * prepare.size))  # a large JPEG is not decoded in full
                ImageOps.exif_transpose(image, in_place=True)  # no copy: a large image takes hundreds of megabytes
                return prepare(plain(image))
    except Exception as error:  # Pillow's decoders raise many types: OSError, SyntaxError, struct.error, ...
        raise ValueError(" ".join(str(error).replace(f"{path}", "the file").split()) or type(error).__name__) from None


def plain(image: Any) -> Any:
    """An image of Pillow as grey or RGB; what is transparent shows its own colour. Raises ValueError."""
    if getattr(image, "is_animated", False) and image.format != "MPO":  # a .jpg of many telephones, with a preview
        raise ValueError("it is animated")
    if image.mode not in _MODES:
        raise ValueError("it does not have 8 bits a channel")
    if image.mode in ("L", "RGB"):
        return image
    if image.mode == "1":
        return image.convert("L")
    return (image.convert("RGBA") if "transparency" in image.info else image).convert("RGB")


def _tensor(image: Any) -> Tensor:
    from torchvision.transforms.v2 import functional

    return image if isinstance(image, Tensor) else functional.pil_to_tensor(image)
