"""How the program is told to end."""

import signal
import threading


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def sigterm_is_ctrl_c() -> None:
    """Lets SIGTERM end the program as Ctrl-C does: a run that can go on keeps what it has, a server ends what
    is drawn, and nothing is left half written. Only a main thread can be asked so."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
