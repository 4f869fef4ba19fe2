"""Measurements against stated limits: ratios from one interleaved run, never absolute times."""
