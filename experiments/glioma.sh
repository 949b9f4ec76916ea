#!/usr/bin/env bash
# The real cohort from files to docs/results.md: about an hour on two cores. Each step resumes.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-runs/glioma}
.venv/bin/pmmsynth prepare experiments/glioma.toml --out "$out/store" --jobs 2
.venv/bin/pmmsynth train "$out/store" --out "$out/run" --preset small --seed 0
.venv/bin/python experiments/network_alone.py "$out/run" "$out/network"
.venv/bin/pmmsynth evaluate "$out/store" --model "$out/run" --model "network alone=$out/network" --out "$out/evaluation"
.venv/bin/python experiments/results.py "$out" .
