"""What this machine can do."""

import ctypes
import os
import re
import resource
import shutil
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import torch

from pmmsynth.errors import UsageError


def fast_bf16(device: str = "auto") -> bool:
    """Whether the hardware computes in bfloat16, rather than emulating it; "auto" is CUDA where there is some."""
    if _is_cuda(device):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported())


def device_of(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA where there is some. Raises UsageError if it is not usable here."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # no such name, or not on this machine
        raise UsageError(
            f"found device {name!r}, not usable here; expected auto, cpu or cuda; choose another"
        ) from error


def can_compile(device: str = "auto") -> bool:
    """Whether the compiler that torch.compile calls is there: triton on CUDA, C++ on the CPU; "auto" as above."""
    if _is_cuda(device):
        return find_spec("triton") is not None
    return shutil.which(os.environ.get("CXX", "g++")) is not None


def _is_cuda(device: str) -> bool:
    return device == "cuda" or (device == "auto" and torch.cuda.is_available())


def memory_used() -> int:
    """The most bytes of memory this process has held so far."""
    if sys.platform == "linux":  # where the other count begins with what the process had that started this one
        with suppress(OSError):
            status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
            if found := re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE):
                return int(found[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def memory_held() -> int:
    """Bytes of memory this process holds now, once what it has freed is given back."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # a C library other than glibc
            ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)
