"""Audits of servers that speak POST /v1/images/generations: a stand-in plays what such servers do."""

import base64
import io
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fairdemo.audit import findings, images_api, report, rows, run, study
from fairdemo.audit.painter import Painter, decided
from fairdemo.audit.study import Shard, Study
from fairdemo.cli import main

KEY = "sk-secret-of-mine"


def picture(seed: int) -> bytes:
    """An image that follows from a number."""
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 40, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class Server:
    """A stand-in: `answer` gets a request's body and number, and gives a status, a body and headers."""

    def __init__(self, answer: Callable[[dict, int], tuple]):
        self.asked: list[dict] = []
        self.keys: list[str] = []
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                own.asked.append(body)
                own.keys.append(self.headers.get("Authorization", ""))
                self.send(*answer(body, len(own.asked)))

            def do_GET(self) -> None:
                self.send(200, picture(int(self.path.rpartition("/")[2])), {"Content-Type": "image/png"})

            def send(self, status: int, content: bytes | dict, headers: dict[str, str]) -> None:
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in ({"Content-Type": "application/json"} | headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/v1#own"


def encoded(*seeds: int) -> dict:
    """An answer with images in base64."""
    return {"data": [{"b64_json": base64.b64encode(picture(seed)).decode()} for seed in seeds]}


def seeded(body: dict, number: int) -> tuple:
    """A server that draws from seeds."""
    return 200, encoded(body["seed"]), {}


def unseeded(body: dict, number: int) -> tuple:
    """A server that leaves seeds unread."""
    return 200, encoded(*(10 * number + k for k in range(body["n"]))), {}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("FAIRDEMO_IMAGES_KEY", KEY)
    monkeypatch.setattr(images_api, "LONGEST", 0.01)
    images_api.takes_seeds.cache_clear()


def test_images_come_from_their_seeds_where_the_server_takes_them():
    server = Server(seeded)
    (one, whole), (two, _) = images_api.generate(server.address, ["a nurse", "a nurse"], [5, 6])
    assert whole and one.size == (40, 48) and one.tobytes() != two.tobytes()
    assert [body["seed"] for body in server.asked] == [7, 7, 8, 5, 6]
    assert {body["model"] for body in server.asked} == {"own"} and set(server.keys) == {f"Bearer {KEY}"}


@pytest.mark.parametrize("refuses", [False, True])
def test_where_seeds_are_not_taken_several_images_come_in_a_call(refuses):
    def answer(body, number):
        if refuses and "seed" in body:
            return 400, {"error": {"message": "Unknown parameter: 'seed'."}}, {}
        return unseeded(body, number)

    server = Server(answer)
    found = images_api.generate(server.address, ["a nurse"] * 6 + ["a chef"], list(range(7)))
    assert len(found) == 7 and not any(whole for _, whole in found)
    assert [body["n"] for body in server.asked if body["prompt"] != "a photo of a mountain"] == [4, 2, 1]
    assert len({image.tobytes() for image, _ in found}) == 7


def test_an_addresss_query_stays_at_its_end():
    server = Server(seeded)
    place = server.address.partition("#")[0].replace("http://", "http://me:word@")
    for address in (f"{place}?version=1", f"{place}/images/generations?version=1"):
        assert images_api.is_address(address)
        assert len(images_api.ask(address, "a nurse", 1, seed=3)) == 1
    assert images_api.host_of(f"{place}/x") == place.partition("@")[2].partition("/")[0]


def test_images_behind_addresses_are_fetched():
    def answer(body, number):
        return 200, {"data": [{"url": f"{server.address.partition('/v1')[0]}/{body['seed']}"}]}, {}

    server = Server(answer)
    ((image, _),) = images_api.generate(server.address, ["a nurse"], [4])
    assert image.tobytes() == Image.open(io.BytesIO(picture(4))).convert("RGB").tobytes()


def test_a_server_with_too_much_to_do_is_asked_again_after_as_long_as_it_says():
    answers = [(429, {"error": "slow down"}, {"Retry-After": "7"}), (503, b"busy", {}), (200, encoded(1), {})]
    server, waits = Server(lambda body, number: answers[number - 1]), []
    found = images_api.post(f"{server.address.partition('#')[0]}/images/generations", {}, waits.append)
    assert found.status_code == 200 and waits == [0.01, 0.01], "at most LONGEST"


@pytest.mark.parametrize(
    "answer, why",
    [
        ((200, b"<html></html>", {"Content-Type": "text/html"}), "answered text/html that holds no images"),
        ((403, {"error": {"message": "You are not allowed to use this model"}}, {}), "answered 403: You are"),
        (
            (400, {"error": {"message": "Additional properties are not allowed"}}, {}),
            "answered 400: Additional",
        ),
        ((401, {"error": {"message": f"bad key {KEY}"}}, {}), "answered 401: bad key …"),
        (
            (500, b"<html>oops</html>", {"Content-Type": "text/html"}),
            "500: text/html instead of JSON",
        ),
        ((200, {"data": []}, {}), "holds no images"),
    ],
)
def test_what_a_server_does_wrong_is_said_in_a_line_without_the_key(answer, why):
    server = Server(lambda body, number: answer)
    with pytest.raises(RuntimeError) as error:
        images_api.ask(server.address, "a nurse", 1)
    assert why in str(error.value) and KEY not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("entry, why", [({"b64_json": "%%%"}, "its base64"), ({}, "neither b64_json")])
def test_an_entry_that_is_no_image_is_a_failure_of_its_own(entry, why):
    server = Server(lambda body, number: (200, {"data": [entry]}, {}))
    (found,) = images_api.ask(server.address, "a nurse", 1)
    assert isinstance(found, str) and why in found


def filtering(body: dict, number: int) -> tuple:
    """A server that refuses every third image of a judge."""
    if "judge" in body["prompt"] and number % 3 == 0:
        error = {"code": "content_policy_violation", "message": f"not for {KEY}"}
        return 400, {"error": error}, {}
    return seeded(body, number)


def test_refusals_are_a_result_by_prompt(live):
    server = Server(filtering)
    asked = Study(
        prompts=("a photo of a judge", "a photo of a nurse"),
        profiles=(),
        apis=(server.address,),
        images=6,
        reader="embedded",
    )
    (origin,) = asked.origins
    tables = []
    for one in asked.asked:
        shard = Shard(origin, one, 0, 6)
        file = Painter(asked).paint(shard, rows.digest(shard, decided(asked, origin)))
        assert KEY.encode() not in file
        tables.append(pd.read_parquet(io.BytesIO(file)))
    found = findings.of(findings.seen(pd.concat(tables), asked), asked, findings.Known())
    (by_prompt,) = found.refused.values()
    assert {p: (s.count, s.n) for p, s in by_prompt.items()} == {"a photo of a judge": (2, 6)}
    assert not found.failed and not found.unseeded
    assert any("A content filter refused 17% (2 of 12;" in said for said in report.sentences(asked, found))


def test_images_without_seeds_are_said_to_be_no_twins(live):
    server = Server(unseeded)
    asked = Study(prompts=("a nurse",), profiles=(), apis=(server.address,), images=2, reader="embedded")
    (origin,) = asked.origins
    shard = Shard(origin, asked.asked[0], 0, 2)
    file = Painter(asked).paint(shard, rows.digest(shard, decided(asked, origin)))
    found = findings.of(findings.seen(pd.read_parquet(io.BytesIO(file)), asked), asked, findings.Known())
    assert found.unseeded == [origin.name]
    assert any("are no twins" in said for said in report.sentences(asked, found))


def test_a_study_ends_before_it_costs_more(tmp_path, capsys):
    """Four shards of two images at 4 cents each, three more to see whether seeds are taken, and 30 cents: two
    shards are drawn."""
    server = Server(seeded)
    jobs = ("nurse", "chef", "judge", "pilot")
    text = (
        f"prompts = {json.dumps([f'a photo of a {job}' for job in jobs])}\nprofiles = []\nimages = 2\n"
        f'apis = ["{server.address}"]\nreader = "embedded"\n'
    )
    path, out = tmp_path / "study.toml", tmp_path / "out"
    path.write_text(text)
    command = ["audit", "run", str(path), "--out", str(out), "--actors", "1", "--drawings", "--most", "0.30"]
    assert main(command) == 2
    assert "most needs the price of an image" in capsys.readouterr().err
    path.write_text(text + "price = 0.04\n")
    assert main(command) == 0
    assert "It ended at its limit" in capsys.readouterr().out
    assert len(rows.read(out)) == 4
    assert main(["audit", "report", str(out)]) == 0
    assert "isn&#39;t finished" in (out / "report.html").read_text(encoding="utf-8")
    assert KEY not in (out / run.STUDY).read_text(encoding="utf-8")


def test_guidance_is_refused_where_the_protocol_has_none(live):
    server = Server(seeded)
    asked = Study(
        prompts=("a nurse",),
        profiles=(),
        apis=(server.address,),
        images=2,
        reader="embedded",
        guidance=(3.0,),
    )
    (origin,) = asked.origins
    shard = Shard(origin, asked.asked[0], 0, 2)
    with pytest.raises(ValueError, match="takes no guidance"):
        Painter(asked).paint(shard, rows.digest(shard, decided(asked, origin)))
    assert origin.kind == study.API
