"""Images of a server that speaks `POST /v1/images/generations`, the protocol of OpenAI's own service and of
servers that people run (vLLM-Omni, SGLang, LocalAI). The address ends in /v1 or /images/generations; a
model's name may stand behind #. The key is FAIRDEMO_IMAGES_KEY, and stands in no row, line or error."""

import base64
import binascii
import os
import re
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import httpx
from PIL import Image

from fairdemo.audit.study import REFUSED
from fairdemo.data.download import fetched
from fairdemo.data.item import SIDE
from fairdemo.readers.open_image import open_image

SECONDS = 300.0  # that a call may take
TRIES, LONGEST = 6, 60.0  # of a call that meets a limit, and seconds between two
A_CALL = 4  # images of a call, where seeds aren't taken
FILTERED = re.compile(
    r"content[_ -]?(polic|filter)|moderation|safety"
    r"|(prompt|content)\b.{0,60}\b(blocked|rejected|flagged|not allowed)",
    re.I,
)


def is_address(model: str) -> bool:
    """Whether an API's address means this protocol."""
    path = urlsplit(model).path.rstrip("/")
    return model.startswith(("http://", "https://")) and path.endswith(("/v1", "/images/generations"))


def generate(model: str, texts: Sequence[str], seeds: Sequence[int]) -> list[tuple[Image.Image | str, bool]]:
    """An image a text, or why the server refused it, and whether it was drawn from its seed. RuntimeError in
    one line where the server can't be used."""
    if takes_seeds(model):
        return [(one, True) for text, seed in zip(texts, seeds) for one in ask(model, text, 1, seed=seed)]
    found: list[tuple[Image.Image | str, bool]] = []
    while len(found) < len(texts):
        text, k = texts[len(found)], len(found)
        same = next((i for i, other in enumerate(texts[k:]) if other != text), len(texts) - k)
        found += [(one, False) for one in ask(model, text, min(same, A_CALL))]
    return found


@lru_cache(16)
def takes_seeds(model: str) -> bool:
    """Whether a server draws from seeds: the same one twice gives the same image, another one doesn't. Many
    leave a seed that they don't know unread, some refuse it."""
    try:
        one, again, other = (ask(model, "a photo of a mountain", 1, seed=seed)[0] for seed in (7, 7, 8))
    except Unknown:
        return False
    images = [one, again, other]
    if any(isinstance(image, str) for image in images):
        return False
    first, second, third = (image.tobytes() for image in images)  # type: ignore[union-attr]
    return first == second != third


class Unknown(RuntimeError):
    """A server that says that it knows no seeds."""


def ask(model: str, text: str, n: int, **more: Any) -> list[Image.Image | str]:
    """Up to n images of one call, at least one; a refusal by a content filter stands for one."""
    address, _, name = model.partition("#")
    parts = urlsplit(address)
    path = parts.path.rstrip("/").removesuffix("/images/generations")
    url = parts._replace(path=f"{path}/images/generations").geturl()
    body = {"prompt": text, "n": n, **({"model": name} if name else {}), **more}
    answer = post(url, body)
    if answer.status_code in (400, 403, 422):
        why = complaint(answer)
        if "seed" in more and "seed" in why.lower():
            raise Unknown(why)
        if FILTERED.search(why):
            return [f"{REFUSED}: {why}"[:200]]
    if answer.status_code != 200:
        raise RuntimeError(f"the server at {host_of(url)} answered {answer.status_code}: {complaint(answer)}")
    return [read_image(one, url) for one in entries(answer, url)][:n]


def post(url: str, body: dict[str, Any], sleep: Callable[[float], None] = time.sleep) -> httpx.Response:
    """The answer to a request, asked again where the server has too much to do, after as long as it says."""
    key = os.environ.get("FAIRDEMO_IMAGES_KEY", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    for tried in range(1, TRIES + 1):
        try:
            answer = httpx.post(url, json=body, headers=headers, timeout=SECONDS)
        except httpx.HTTPError as error:
            if tried == TRIES:
                why = hide_key(f"{type(error).__name__}: {error}")
                raise RuntimeError(f"the server at {host_of(url)} can't be reached: {why}") from None
            sleep(min(LONGEST, 2.0**tried))
            continue
        if answer.status_code not in (429, 500, 502, 503, 504) or tried == TRIES:
            return answer
        said = answer.headers.get("retry-after", "")
        sleep(min(LONGEST, float(said) if re.fullmatch(r"\d+(\.\d+)?", said) else 2.0**tried))
    raise AssertionError


def entries(answer: httpx.Response, url: str) -> list[dict[str, Any]]:
    """The images that an answer has."""
    try:
        found = answer.json()["data"]
        if isinstance(found, list) and found and all(isinstance(one, dict) for one in found):
            return found
    except (ValueError, KeyError, TypeError):
        pass
    raise RuntimeError(f"the server at {host_of(url)} answered {media_type(answer)} that holds no images")


def read_image(entry: dict[str, Any], url: str) -> Image.Image | str:
    """An image that an answer holds, or has the address of."""
    content: bytes | str = "the answer has neither b64_json nor url"
    if isinstance(entry.get("b64_json"), str):
        try:
            content = base64.b64decode(entry["b64_json"], validate=True)
        except (binascii.Error, ValueError):
            content = "its base64 is damaged"
    elif isinstance(entry.get("url"), str):
        (content,) = fetched([entry["url"]], [urlsplit(url).hostname or ""], SECONDS)
    if isinstance(content, str):
        return f"no image: {content}"
    try:
        return open_image(content, SIDE)
    except ValueError as error:
        return f"no image: {error}"


def host_of(url: str) -> str:
    """An address's host and port, without a name and password that may stand before them."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def media_type(answer: httpx.Response) -> str:
    """What an answer says that it is, as "text/html"."""
    return answer.headers.get("content-type", "nothing").partition(";")[0]


def complaint(answer: httpx.Response) -> str:
    """What a server says is wrong, in one line, without the key."""
    try:
        said = answer.json()
        said = said.get("error", said) if isinstance(said, dict) else said
        if isinstance(said, dict):
            said = " ".join(str(said[key]) for key in ("code", "message") if said.get(key)) or str(said)
    except ValueError:
        said = f"{media_type(answer)} instead of JSON"
    return hide_key(" ".join(str(said).split()))[:200]


def hide_key(text: str) -> str:
    """A text without the key, which some servers repeat."""
    key = os.environ.get("FAIRDEMO_IMAGES_KEY", "")
    return text.replace(key, "…") if key else text
