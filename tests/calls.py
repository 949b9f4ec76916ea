"""What the tests of many processes call there; a module of its own, as each new process loads it."""

import os
import signal
import time
from pathlib import Path


def work(item: object) -> str:
    """What an item stands for: a result, an error, the end of the process (a path: only while it does not exist)."""
    if item == "bad":
        raise OSError("no such thing")
    if item == "fatal":
        os.kill(os.getpid(), signal.SIGKILL)
    if isinstance(item, Path) and not item.exists():
        item.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return str(item)


def threads(item: object) -> int:
    """How many torch computes with."""
    import torch

    return torch.get_num_threads()


def digest(saved: object) -> str:
    """Of the model that is loaded."""
    return saved.load().card.digest


KEPT: list[bytearray] = []


def grow(number: int) -> int:
    """So much that joblib ends the process after the call, while others wait."""
    if number:
        KEPT.append(bytearray(b"1") * 400_000_000)
    time.sleep(1.2)  # it looks once a second
    return number
