"""Images from the addresses of a table, politely: few at once from a host, never long, never large, never
from a private network unless its host is allowed by name."""

import asyncio
import ipaddress
import socket
from collections import defaultdict
from collections.abc import Collection, Sequence

import httpx

from fairdemo import __version__

AT_ONCE, OF_A_HOST = 16, 2  # downloads
REDIRECTS = 5
USUAL = ("text/html", "application/json", "text/plain")  # that hosts send instead of images
LARGEST = 20_000_000  # bytes
TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # IPv4 addresses on networks of IPv6 alone
AGENT = f"fairdemo/{__version__} (an audit of captioned images)"
PRIVATE, TOO_LONG, TOO_LARGE = "a private address", "took too long", "larger than 20 MB"


class Refused(Exception):
    """Why an address isn't fetched."""


class Public(httpx.AsyncHTTPTransport):
    """Connects to public addresses alone, and to the one that was checked, whatever a name stands for a
    moment later."""

    def __init__(self, allowed: Collection[str]):
        # Kept alive, a connection would serve another host of the same address, whose certificate
        # nobody looked at.
        super().__init__(limits=httpx.Limits(max_keepalive_connections=0))
        self.allowed = allowed

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request, a redirect's as well."""
        host = request.url.host
        if host not in self.allowed:
            request = httpx.Request(
                request.method,
                request.url.copy_with(host=await public(host)),
                headers=request.headers,  # with the host's name
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
        response = await super().handle_async_request(request)
        response.headers.pop("set-cookie", None)
        return response


async def public(host: str) -> str:
    """A host's address; Refused if it has none, or one of a private network."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Refused("an unknown host") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not all(map(is_public, addresses)):
        raise Refused(PRIVATE)
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an address is of the public network, and any IPv4 address that is wrapped in it as well."""
    found = ipaddress.ip_address(address.partition("%")[0])
    inner: list[ipaddress.IPv4Address] = []
    if isinstance(found, ipaddress.IPv6Address):
        if found in TRANSLATED:
            return is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
        inner = [v4 for v4 in (found.ipv4_mapped, found.sixtofour, *(found.teredo or ())) if v4]
    return all(
        one.is_global and not (one.is_multicast or one.is_reserved or one.is_unspecified)
        for one in (found, *inner)
    )


def fetched(addresses: Sequence[str], allowed: Collection[str], seconds: float) -> list[bytes | str]:
    """What is at each address, or why it couldn't be fetched: after `seconds` at most."""
    # A client reads all certificates of this machine, which takes as long as a few images.
    return asyncio.run(fetched_all(addresses, allowed, seconds)) if addresses else []


async def fetched_all(
    addresses: Sequence[str], allowed: Collection[str], seconds: float
) -> list[bytes | str]:
    """The same for a program that waits for other things meanwhile."""
    all_, hosts = asyncio.Semaphore(AT_ONCE), defaultdict(lambda: asyncio.Semaphore(OF_A_HOST))
    client = httpx.AsyncClient(
        transport=Public(allowed),
        headers={"User-Agent": AGENT, "Accept": "image/*", "Accept-Encoding": "identity"},
        follow_redirects=True,
        max_redirects=REDIRECTS,
        timeout=seconds,
        trust_env=False,  # a proxy would resolve names itself
    )

    async def one(address: str) -> bytes | str:
        try:
            url = httpx.URL(address)
        except (httpx.InvalidURL, TypeError):
            return "not an address"
        if url.scheme not in ("http", "https") or not url.host:
            return "not an address"
        async with hosts[url.host], all_:
            try:
                async with asyncio.timeout(seconds):
                    return await content(client, url)
            except TimeoutError:
                return TOO_LONG
            except Refused as error:
                return str(error)
            except httpx.HTTPError as error:
                return TOO_LONG if isinstance(error, httpx.TimeoutException) else type(error).__name__

    async with client:
        return list(await asyncio.gather(*map(one, addresses)))


async def content(client: httpx.AsyncClient, url: httpx.URL) -> bytes:
    """What is at an address; Refused if it isn't an image or is too large."""
    async with client.stream("GET", url) as response:
        if response.status_code != 200:
            raise Refused(f"HTTP {response.status_code}")
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind and not kind.startswith("image/") and kind != "application/octet-stream":
            raise Refused(f"not an image ({kind})" if kind in USUAL else "not an image")
        found = bytearray()
        async for part in response.aiter_raw():
            found += part
            if len(found) > LARGEST:
                raise Refused(TOO_LARGE)
        return bytes(found)
