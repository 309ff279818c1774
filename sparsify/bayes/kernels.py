"""What is computed in another way on a GPU, where each operation is a launch and waits for memory."""

from torch import Tensor


def on_gpu(tensor: Tensor) -> bool:
    return tensor.is_cuda
