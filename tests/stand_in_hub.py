"""A stand-in for the Hub on this machine: repositories are folders, every revision is the same commit."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def etag(path: Path) -> str:
    """What a file's content is called."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """Answers what the Hub's client asks for models and datasets: what is in a repository, and its files."""

    root: Path
    fetched: list[str]

    def do_HEAD(self) -> None:
        self.answer(False)

    def do_GET(self) -> None:
        self.answer(True)

    def answer(self, whole: bool) -> None:
        """A listing or a file."""
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        parts = parts[1:] if parts[0] == "datasets" else parts
        if parts[:2] in (["api", "models"], ["api", "datasets"]):
            return self.listed("/".join(parts[2:4]), parts[4:5] == ["tree"])
        path = self.root / "/".join(parts[:2]) / "/".join(parts[4:])
        if len(parts) < 5 or parts[2] != "resolve" or not path.is_file():
            return self.missing("EntryNotFound")
        if whole:
            self.fetched.append("/".join(parts[4:]))
        body = path.read_bytes()
        self.reply(body, "application/octet-stream", {"ETag": f'"{etag(path)}"'}, whole)

    def listed(self, repo: str, tree: bool) -> None:
        """The files of a repository."""
        folder = self.root / repo
        if not folder.is_dir():
            return self.missing("RepoNotFound")
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        names = [str(p.relative_to(folder)) for p in files]
        if tree:
            told = [
                {"type": "file", "path": n, "size": p.stat().st_size, "oid": etag(p)}
                for n, p in zip(names, files)
            ]
        else:
            told = {"id": repo, "sha": COMMIT, "siblings": [{"rfilename": n} for n in names]}
        self.reply(json.dumps(told).encode(), "application/json", {}, True)

    def missing(self, code: str) -> None:
        """What isn't there."""
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def reply(self, body: bytes, kind: str, more: dict[str, str], whole: bool) -> None:
        """Sends an answer, or its head alone."""
        self.send_response(200)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **more}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if whole:
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing."""


@contextmanager
def hub(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Serves repositories under a folder (`owner/name/…`); the address, and which files were fetched."""
    fetched: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Hub,), {"root": root, "fetched": fetched}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", fetched
    finally:
        server.shutdown()
        server.server_close()
