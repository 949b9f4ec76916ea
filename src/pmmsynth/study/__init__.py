"""Blinded reading studies: the same patients read several times, on real and on synthesized images."""
