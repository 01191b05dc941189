"""Pictures by address: a tile's `<img>` names a drawn image by its content, and the browser keeps it, so that
a wall that changes sends only what is new. An image can be fetched while anybody's wall, or what was drawn
ahead, holds it."""

import hashlib
from weakref import WeakValueDictionary

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fairdemo.pairs import Drawn

HELD: WeakValueDictionary[str, Drawn] = WeakValueDictionary()
FOREVER = {"Cache-Control": "private, max-age=86400, immutable", "X-Content-Type-Options": "nosniff"}


def address(drawn: Drawn) -> str:
    """Where the page finds an image, relative to the page itself."""
    key = hashlib.blake2b(drawn.tile, digest_size=16).hexdigest()
    HELD.setdefault(key, drawn)
    return f"picture/{key}.jpg"


def picture(request: Request) -> Response:
    """An image's bytes; 404 if nobody holds it any more."""
    drawn = HELD.get(request.path_params["key"])
    if drawn is None:
        return Response(status_code=404)
    return Response(drawn.tile, media_type="image/jpeg", headers=FOREVER)


ROUTES = [Route("/picture/{key:str}.jpg", picture)]
