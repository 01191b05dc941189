"""Captioned image sets: what training data looks like, wherever it lies."""
