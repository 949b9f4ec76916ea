"""What a process says of itself."""

import subprocess
import sys

import pytest

from pmmsynth.machine import memory_held, memory_used

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
