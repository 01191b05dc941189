"""Behind a proxy, under a path: the configuration that docs/running.md shows, and the ways in which people's
own differ from it. The app that is served here is what the Dockerfile there copies, without a home, and with
an encoding of bytes alone."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from fairdemo.places import SHIPPED
from fairdemo.ui.prefix import Prefix, read_prefix
from tests import browser

PREFIX, PASSWORD = "/myclass", "a long one"
needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx: apt-get install nginx")


def shown(request):
    return PlainTextResponse(request.url.path)


@pytest.mark.parametrize("root", ["", "/demo", "/myclass", "https://example.org/demo"])
@pytest.mark.parametrize("stripped", [True, False])
def test_routes_in_routes_are_found_with_and_without_their_prefix(monkeypatch, root, stripped):
    """Redirects are relative: a proxy may pass on neither host nor scheme nor prefix."""
    monkeypatch.setenv("GRADIO_ROOT_PATH", root)
    rooms = Mount("/class", routes=[Route("/", shown), Route("/teacher", shown)])
    app = Starlette(routes=[rooms, Route("/plain", shown)], middleware=[Middleware(Prefix)])
    client = TestClient(app, root_path=root, follow_redirects=False)
    before = "" if stripped else read_prefix()
    for path in ("/class/", "/class/teacher", "/plain"):
        assert client.get(before + path).text == read_prefix() + path
    assert client.get(f"{before}/class?a=1").headers["location"] == "class/?a=1"
    assert client.get(f"{before}/plain/").headers["location"] == "../plain"
    assert client.get(f"{before}/nothing").status_code == 404


@pytest.mark.parametrize("root", ["/class", "demo", "https://example.org/picture"])
def test_a_prefix_that_cannot_be_told_apart_is_refused(monkeypatch, root):
    monkeypatch.setenv("GRADIO_ROOT_PATH", root)
    with pytest.raises(SystemExit, match="expected a path as '/demo'"):
        read_prefix()


def read_block(kind: str) -> str:
    """The block of code of this kind in docs/running.md."""
    text = (SHIPPED / "docs" / "running.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)
    return block


def contain(folder: Path) -> tuple[Path, dict[str, str]]:
    """What the Dockerfile copies, in a folder, and what it sets."""
    lines = [line.split() for line in read_block("dockerfile").splitlines()]
    for _, source, target in (line for line in lines if line[0] == "COPY"):
        if target == "./":
            shutil.copy(SHIPPED / source, folder)
        elif target == "fairdemo":
            shutil.copytree(SHIPPED / source, folder / target)
        else:
            (folder / target).symlink_to(SHIPPED / source)
    assert [line[1:] for line in lines if line[0] == "CMD"] == [['["python",', '"app.py"]']]
    return folder, dict(setting.split("=") for line in lines if line[0] == "ENV" for setting in line[1:])


def configure(folder: Path, app: str, port: int, stripped: int, plain: int) -> Path:
    """nginx as docs/running.md has it, on `port`; on `stripped` with the prefix taken away and the host
    without its port, on `plain` with neither TLS nor any header."""
    block = read_block("nginx")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        + ["-keyout", str(folder / "own.key"), "-out", str(folder / "own.pem")],
        check=True,
        capture_output=True,
    )
    block = block.replace("http://127.0.0.1:7860", app).replace("/demo", PREFIX)
    block = block.replace("/etc/ssl/example.org", str(folder / "own"))
    servers = [
        block.replace("443", str(port)),
        block.replace("443", str(stripped))
        .replace(f"proxy_pass {app};", f"proxy_pass {app}/;")
        .replace("$http_host", "$host"),
        f"server {{ listen {plain}; location {PREFIX}/ {{ proxy_pass {app}/; }} }}",
    ]
    path = folder / "nginx.conf"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    own = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    path.write_text(
        f"pid {folder}/pid; error_log {folder}/error.log; daemon off; events {{}}\n"
        f"http {{ access_log off; {own}\n{''.join(servers)}\n}}\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """Addresses of the app behind nginx: unstripped, stripped, and without headers; and the app's own."""
    folder = tmp_path_factory.mktemp("proxy")
    bare = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "HOME": "/proc/nohome"}
    own = {"GRADIO_ROOT_PATH": PREFIX, "FAIRDEMO_PASSWORD": PASSWORD, "FAIRDEMO_AHEAD": "off"}
    ports = [browser.free_port() for _ in range(3)]
    root, settings = contain(tmp_path_factory.mktemp("app"))
    settings |= {"FAIRDEMO_HOME": "/proc/nothing", "GRADIO_SERVER_NAME": "127.0.0.1"} | own | bare
    with browser.served(folder / "log", root, **settings) as app:
        process = subprocess.Popen(["nginx", "-p", str(folder), "-c", configure(folder, app, *ports)])
        try:
            schemes = ("https", "https", "http")
            found = [f"{s}://localhost:{port}{PREFIX}" for s, port in zip(schemes, ports)]
            browser.until(lambda: httpx.get(f"{found[2]}/class/").status_code == 200)
            yield (*found, app)
            assert "Traceback" not in (folder / "log").read_text(encoding="utf-8")
        finally:
            process.terminate()
            process.wait(20)


@needs_nginx
def test_every_route_of_a_class_is_had_through_any_proxy(proxied):
    for address in proxied:
        with httpx.Client(verify=False, headers={"Authorization": f"Bearer {PASSWORD}"}) as client:
            # A redirect without host, scheme and prefix leads back to where the visitor came from.
            assert client.get(f"{address}/class").headers["location"] == "class/"
            for path in ("", "/", "/teacher", "/projector", "/api/reach", "/openapi.json"):
                answer = client.get(f"{address}/class{path}", follow_redirects=True)
                assert answer.status_code == 200 and str(answer.url).startswith(address)
            assert client.post(f"{address}/class/api/rooms").status_code == 201
            assert client.get(f"{address}/config").json()["components"]
    with httpx.Client(verify=False) as stranger:
        assert stranger.post(f"{proxied[0]}/class/api/rooms").status_code == 401


@needs_nginx
@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs a Chromium: apt-get install chromium")
@pytest.mark.parametrize("which", [0, 1], ids=["unstripped", "stripped"])
def test_a_class_meets_behind_a_proxy(proxied, chromium, which):
    """The teacher comes by the password, three phones held sideways by the code."""
    address = proxied[which]
    context = chromium.new_context(ignore_https_errors=True, viewport={"width": 1366, "height": 768})
    teacher = context.new_page()
    teacher.goto(f"{address}/class/teacher")
    teacher.fill("input[name=password]", PASSWORD)
    teacher.keyboard.press("Enter")
    teacher.locator("main button.main").first.click()
    teacher.wait_for_selector(".steps button")
    code, link = teacher.inner_text(".big"), teacher.get_attribute("img.qr", "alt")
    assert teacher.evaluate("document.querySelector('img.qr').decode().then(() => true)")
    if which:  # the host came without its port, and the page knows its own address
        assert link == f"{address}/class/#{code}"
    sideways = {"viewport": {"width": 844, "height": 390}, "ignore_https_errors": True}
    for _ in range(3):
        phone = chromium.new_context(**sideways).new_page()
        phone.goto(f"{address}/class#{code}")
        phone.wait_for_selector(".who")
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(teacher.locator("aside p[role=status]")).to_contain_text("3")
    studio = context.new_page()
    browser.arrive(studio, f"{address}/")
    expect(studio.locator("#wall-baseline .tile img").first).to_be_visible()


def test_compiled_functions_are_kept_where_something_can_be_written():
    """In a container neither the code's folder nor a home may be."""
    code = (
        "import os; from fairdemo import places; places.writable = lambda folder: False;"
        " import fairdemo.world; print(os.environ['NUMBA_CACHE_DIR'])"
    )
    own = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=SHIPPED, env=own)
    assert done.stdout.strip().startswith(tempfile.gettempdir()), done.stderr
