"""In which precision the hardware multiplies fastest."""

from functools import cache

import torch


@cache
def fast_dtype(device_type: str) -> torch.dtype:
    """bfloat16 where the hardware multiplies in it, else float32.  device_type: of a torch.device"""
    if device_type == "cpu":
        capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # since torch 2.12
        return torch.bfloat16 if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else torch.float32
    return torch.bfloat16 if device_type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
