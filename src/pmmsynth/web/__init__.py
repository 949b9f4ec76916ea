"""The pages of a reading study: one process, no network but the loopback unless asked."""
