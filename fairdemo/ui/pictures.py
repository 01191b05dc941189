"""Pictures by address: a tile's `<img>` names a drawn image by its content, and the browser keeps it, so that
a wall that changes sends only what is new. An image can be fetched while anybody's wall, or what was drawn
ahead, holds it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fairdemo.pairs import TILES, Drawn

FOREVER = {"Cache-Control": "private, max-age=86400, immutable", "X-Content-Type-Options": "nosniff"}


def address(drawn: Drawn) -> str:
    """Where the page finds an image, relative to the page itself."""
    return f"picture/{drawn.tile.name}.jpg"


def picture(request: Request) -> Response:
    """An image's bytes; 404 if nobody holds it any more."""
    tile = TILES.get(request.path_params["name"])
    if tile is None:
        return Response(status_code=404)
    return Response(tile.jpeg, media_type="image/jpeg", headers=FOREVER)


ROUTES = [Route("/picture/{name:str}.jpg", picture)]
