"""Methods to debias, side by side: one file each, all in one frame."""
