"""Whether phones can reach this server, and by which address."""

import ipaddress
import os
import socket

ANYWHERE = "192.0.2.1"  # kept for documentation; no packet is sent to it


def own_address() -> str | None:
    """This machine's address on its network or hotspot; None where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as looked:
        try:
            looked.connect((ANYWHERE, 9))
            found = looked.getsockname()[0]
        except OSError:
            return None
    return None if ipaddress.ip_address(found).is_loopback else found


def listens(address: str, port: int, seconds: float = 2.0) -> bool:
    """Whether something answers there."""
    try:
        with socket.create_connection((address, port), seconds):
            return True
    except OSError:
        return False


def on_space() -> str | None:
    """The host of the Hugging Face Space that this runs in, if it does."""
    return os.environ.get("SPACE_HOST")


def told(host: str, scheme: str) -> dict[str, object]:
    """For a page that was opened by `host` (with its port): the address that phones can open, ending with a
    slash, empty where the page's own will do; and whether phones can't reach this server at all."""
    name, _, port = host.partition(":")
    if on_space() or name not in ("localhost", "127.0.0.1"):
        return {"address": "", "alone": False}
    found = own_address()
    number = int(port) if port.isdigit() and int(port) < 2**16 else 80
    if found is None or not listens(found, number):
        return {"address": "", "alone": True}
    return {"address": f"{scheme}://{found}:{number}/", "alone": False}
