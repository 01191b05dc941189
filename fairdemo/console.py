"""What the program prints, on whatever it is printed."""

import sys
from io import TextIOWrapper


def print_whatever() -> None:
    """Lets standard output take any text: where its encoding lacks a character, as Windows' own does in a
    file or a service's log, a question mark stands for it, instead of an error that ends the program."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
