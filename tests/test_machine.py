"""What a process says of itself."""

import subprocess
import sys

import pytest
import torch

from pmmsynth.infer.backends import in_bf16
from pmmsynth.machine import can_compile, fast_bf16, memory_held, memory_used
from pmmsynth.train.config import small

GB = 10**9


@pytest.mark.slow
def test_the_most_memory_is_that_of_this_process_alone() -> None:
    before = memory_held()
    block = bytearray(b"1") * GB
    assert memory_used() >= before + 0.95 * GB
    command = "from pmmsynth.machine import memory_used; print(memory_used())"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert 0.01 * GB < int(done.stdout) < 0.95 * GB, "not what the process holds that started it"
    del block
    assert memory_used() >= before + 0.95 * GB > memory_held()


def test_bfloat16_is_that_of_the_device_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that has it says nothing of the processor beside it."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **_: True)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: False)
    assert [fast_bf16(device) for device in ("auto", "cuda", "cpu")] == [True, True, False]
    assert small().resolved("cpu").precision == "32-true"
    assert small().resolved().precision == "bf16-mixed"
    assert not in_bf16("auto", torch.device("cpu"))
    assert in_bf16("auto", torch.device("cuda"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert not fast_bf16()


def test_the_compiler_is_that_of_the_device_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """C++ for the processor, whatever GPU is beside it; triton for CUDA."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **_: True)
    monkeypatch.setattr("pmmsynth.machine.find_spec", lambda name: name if name == "triton" else None)
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert [can_compile(device) for device in ("auto", "cuda", "cpu")] == [True, True, False]
    assert [small().resolved(device).fuse for device in ("auto", "cpu")] == [True, False]
    monkeypatch.setattr("pmmsynth.machine.find_spec", lambda _: None)
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/g++")
    assert [can_compile(device) for device in ("auto", "cuda", "cpu")] == [False, False, True]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert can_compile()
