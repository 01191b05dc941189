"""Memory that a long-running program no longer uses."""

import ctypes
import sys


def give_back() -> None:
    """Gives memory that is free to the system. Linux's allocator keeps what lies between images that are
    still kept, and a server that drew for hours would hold more and more of it; elsewhere nothing happens."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)
