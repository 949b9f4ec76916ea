"""`python -m pmmsynth` is the same as `pmmsynth`."""

from pmmsynth.cli import entry

if __name__ == "__main__":
    entry()
