"""The whole pipeline on simulated patients, and one page that shows what came out."""

from pmmsynth.demo.pipeline import demo

__all__ = ["demo"]
