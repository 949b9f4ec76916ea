"""Reading studies: what radiologists report on synthesized images against what they report on real ones.

`pmmsynth.reading.score.score` is the whole analysis; nothing is imported here, so that the command line starts quickly.
"""
