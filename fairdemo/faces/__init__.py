"""Reads faces in images: detect, embed, classify."""

from fairdemo.faces.read import FaceReader

__all__ = ["FaceReader"]
