"""Whether phones can reach this server, and by which address."""

import ipaddress
import os
import socket

import psutil

CONTAINERS = ipaddress.IPv4Network("172.16.0.0/12")  # private addresses that few hotspots have


def own_addresses() -> list[str]:
    """This machine's addresses on its networks and hotspots, private ones first; none without a network."""
    cards = psutil.net_if_stats()
    found = [
        ipaddress.IPv4Address(one.address)
        for card, own in psutil.net_if_addrs().items()
        for one in own
        if one.family == socket.AF_INET and card in cards and cards[card].isup
    ]
    kept = [one for one in found if not (one.is_loopback or one.is_link_local)]
    return [str(one) for one in sorted(kept, key=lambda one: (not one.is_private, one in CONTAINERS))]


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


def shared() -> bool:
    """Whether a public link was asked for."""
    return os.environ.get("GRADIO_SHARE", "").lower() in ("1", "true")


def others_reach() -> bool:
    """Whether anybody but who started it can visit the app: a Space, a server's address, a public link."""
    name = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    return bool(on_space()) or shared() or name not in ("127.0.0.1", "localhost", "::1")


def told(host: str, scheme: str) -> dict[str, object]:
    """For a page that was opened by `host` (with its port): the address that phones can open, empty where
    the page's own will do; and whether phones can't reach this server at all."""
    name, _, port = host.partition(":")
    if on_space() or name not in ("localhost", "127.0.0.1"):
        return {"address": "", "alone": False}
    number = int(port) if port.isdigit() and int(port) < 2**16 else 80
    found = next((one for one in own_addresses() if listens(one, number)), None)
    return {"address": f"{scheme}://{found}:{number}" if found else "", "alone": found is None}
