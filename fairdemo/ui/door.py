"""Before all routes: a lab's password, what may be uploaded, and headers that keep a page to itself."""

import base64
import hashlib
import hmac
import shutil
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fairdemo import places
from fairdemo.ui import reach
from fairdemo.ui.language import language_of
from fairdemo.ui.limits import LIMITS, asker, until
from fairdemo.ui.operator import operator
from fairdemo.ui.prefix import Prefix
from fairdemo.ui.templates import render
from fairdemo.ui.visits import Callers

COOKIE, LOGIN = "fairdemo-door", "/door"
TRIES = 10  # wrong passwords of a visitor in ten minutes
LONGEST = 2000  # bytes of what is sent with a password
STAYS = 30 * 86400  # seconds for which a browser is known
LARGEST_FILE = 300_000_000  # bytes
LARGEST_BODY = 2_000_000  # bytes of any other request
UNUSED = ("/process_recording", "/vibe-starter-queries", "/vibe-edit")  # Gradio's, that would take files too
ROOM = 500_000_000  # bytes that an upload leaves on the disk
# What a class's phones need: pages without a name of their own, rooms, and pictures that nobody can guess.
OF_A_CLASS = ("/class/student", "/class/projector", "/class/form", "/class/api/rooms/", "/picture/")
OPEN = (
    "/class",
    "/class/",
    "/class/api/reach",
    "/gradio_api/startup-events",
)  # the last is how Gradio starts itself
SPACES = " https://huggingface.co https://*.hf.space"
# Gradio writes scripts and styles into its page, and makes functions of texts.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:;"
    " worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"  # of what visitors made


def framing() -> str:
    """The origins that may show a page in a frame, as they end its policy."""
    return "".join(f" {origin}" for origin in operator().frames.split())


class Sealed:
    """Adds headers to every answer that hasn't its own."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self.policy = POLICY + (SPACES if reach.on_space() else "") + framing()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        file = (
            "/file=" in scope["path"] or "/gradio_api/file/" in scope["path"] or "/picture/" in scope["path"]
        )

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", FILE_POLICY if file else self.policy)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
            await send(message)

        await self.app(scope, receive, sealed)


class Uploads:
    """Lets files in: so many of a visitor, so large, and while there is room on the disk."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or says why not."""
        refused = None
        path = scope.get("path", "").rstrip("/")
        if path.endswith(UNUSED):
            refused = JSONResponse({"detail": "there is no such route here"}, 404)
        elif scope["type"] == "http" and path.endswith("/upload"):
            refused = self.refused(Request(scope))
        elif scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            refused = self.too_large(Request(scope), LARGEST_BODY)
        await (refused or self.app)(scope, receive, send)

    @staticmethod
    def too_large(request: Request, most: int) -> Response | None:
        """Why a body isn't read, if it isn't."""
        size = request.headers.get("content-length", "0")
        if "transfer-encoding" in request.headers or not size.isdigit():
            return JSONResponse({"detail": "a request says how large it is (Content-Length)"}, 411)
        if int(size) > most:
            return JSONResponse({"detail": f"a request may have {most / 1e6:g} MB at most"}, 413)
        return None

    @staticmethod
    def refused(request: Request) -> Response | None:
        """Why a file isn't taken, if it isn't."""
        size, most = request.headers.get("content-length", "0"), operator().limit_uploads
        if refused := Uploads.too_large(request, LARGEST_FILE):
            return refused
        if shutil.disk_usage(places.passing()).free < ROOM + int(size):
            return JSONResponse({"detail": "this server's disk is full; no file can be opened now"}, 503)
        if wait := LIMITS.take("uploads", asker(request), most):
            told = f"this server takes {most} files of a visitor in ten minutes; the next in {until(wait)}"
            return JSONResponse({"detail": told}, 429)
        return None


def is_own(origin: str, host: str) -> bool:
    """Whether a page's origin is this server's, by the host that it was asked by, which a proxy may pass on
    without its port. "null", as of a page in a sandbox, is nobody's."""
    try:
        own = urlsplit(origin)
        return bool(own.netloc) and host in (own.netloc, own.hostname)
    except ValueError:
        return False


class Door:
    """Asks for FAIRDEMO_PASSWORD before anything else is answered. A browser shows a page for it and is known
    for a month by a cookie; programs send `Authorization: Basic` with any name, or `Bearer`. What a class's
    phones open is open."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self.password = operator().password
        # Not the password itself, and the same after a restart.
        self.known = hmac.new(self.password.encode(), b"fairdemo's door", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or asks for the password."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # nothing of ours speaks anything else
            return None
        request = Request(scope, receive)
        path = "/" + scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        if path == LOGIN:
            return await (await self.login(request))(scope, receive, send)
        if path in OPEN or path.startswith(OF_A_CLASS) or self.knows(request):
            return await self.app(scope, receive, send)
        await self.asks(request, path)(scope, receive, send)

    def is_password(self, said: str, request: Request) -> bool:
        """Whether it is the password; not even looked at after too many wrong ones."""
        who = asker(request)
        if LIMITS.full("passwords", who, TRIES):
            return False
        right = hmac.compare_digest(said.encode(), self.password.encode())
        if not right:
            LIMITS.spend("passwords", who, 1)
        return right

    def knows(self, request: Request) -> bool:
        """Whether a request brings the cookie or the password."""
        cookie = request.cookies.get(COOKIE, "")
        # Gradio lets other sites ask with a browser's cookies; those of another site count for nothing.
        origin = request.headers.get("origin")
        if origin and not is_own(origin, request.headers.get("host", "")):
            cookie = ""
        if cookie and hmac.compare_digest(cookie.encode(), self.known.encode()):
            return True
        kind, _, said = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                said = base64.b64decode(said, validate=True).decode().partition(":")[2]
            except ValueError:
                return False
        return kind.lower() in ("basic", "bearer") and self.is_password(said, request)

    def asks(self, request: Request, path: str) -> Response:
        """The page that asks; a line for programs."""
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            query = request.url.query  # a link to a wall
            return self.page(request, f"{path}?{query}" if query else path, False)
        told = "this server asks for its password: send Authorization: Basic or Bearer"
        return JSONResponse({"error": told}, 401, {"WWW-Authenticate": "Bearer"})

    async def login(self, request: Request) -> Response:
        """Takes a password from the page."""
        size = request.headers.get("content-length", "")
        said: dict[str, list[str]] = {}
        if request.method == "POST" and size.isdigit() and int(size) <= LONGEST:
            said = parse_qs((await request.body()).decode(errors="replace"))
        back = said.get("back", ["/"])[0]
        back = back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/"
        if not said or not self.is_password(said.get("password", [""])[0], request):
            return self.page(request, back, bool(said))
        answer = RedirectResponse(quote(request.scope.get("root_path", "") + back, "/?=&%#:+"), 303)
        safe = request.url.scheme == "https" or reach.on_space() is not None
        # A Space's page stands in a page of another host, as may those of `frames`.
        site = "none" if safe and (reach.on_space() or operator().frames) else "lax"
        answer.set_cookie(COOKIE, self.known, STAYS, httponly=True, secure=safe, samesite=site)
        return answer

    @staticmethod
    def page(request: Request, back: str, wrong: bool) -> Response:
        """The page that asks."""
        wait = LIMITS.full("passwords", asker(request), TRIES)
        action = request.scope.get("root_path", "") + LOGIN
        html = render(
            "door.html",
            language_of(request),
            action=action,
            back=back,
            wrong=wrong,
            wait=wait and until(wait),
        )
        return HTMLResponse(html, 429 if wait else 401, {"Cache-Control": "no-store"})


def before() -> list[Middleware]:
    """What stands before all routes, the outermost first."""
    door = [Middleware(Door)] if operator().password else []
    return [Middleware(Prefix), Middleware(Sealed), *door, Middleware(Uploads), Middleware(Callers)]
