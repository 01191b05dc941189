"""Shows a text-to-image model's demographic bias next to a debiased version of the same model."""

__version__ = "0.2.0"
