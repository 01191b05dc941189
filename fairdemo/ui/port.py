"""The port that was asked for."""

import os


def read_port() -> int | None:
    """GRADIO_SERVER_PORT; None where nobody asked for one. SystemExit if it is none."""
    said = os.environ.get("GRADIO_SERVER_PORT")
    if not said:
        os.environ.pop("GRADIO_SERVER_PORT", None)  # Gradio takes an empty one for a number
        return None
    if not said.isascii() or not said.isdigit() or not 1 <= int(said) < 2**16:
        raise SystemExit(f"fairdemo: GRADIO_SERVER_PORT is {said!r}; expected a number from 1 to {2**16 - 1}")
    return int(said)
