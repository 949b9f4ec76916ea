"""The methods PMM-Synth is compared with: one paper, one file."""
