"""A shared link brings back the same wall, named and saved as what it is, whatever method drew it."""

import gc
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fairdemo import places
from fairdemo.pairs import SIDES
from fairdemo.report import archive
from fairdemo.request import SERVER, Request
from fairdemo.stats.mix import Source
from fairdemo.ui import link, pictures, wall_file
from fairdemo.ui.limits import Limits
from fairdemo.ui.operator import Operator
from fairdemo.ui.visits import Visit
from tests.conftest import asked

METHODS = [
    *("mix", "aligned: gender", "aligned: gender, professions alone", "aligned: gender, race"),
    *("aligned: gender, race, age 75/25", "soft tokens: gender", "soft tokens: gender, professions alone"),
    *("varied faces", "words", "ethical intervention", "published random", "fairimagen", "debias-vl"),
    *("fair diffusion", "aligned: race", "uce: gender, race", "fair pca"),
]


def query_of(plan, studio) -> dict[str, str]:
    return dict(parse_qsl(link.query(plan, studio.all_sources).removeprefix("?"), keep_blank_values=True))


def assert_alike(one, other) -> None:
    """The same adapters, and images that differ by no more than rounding in batches of other sizes, which may
    turn a label that is in doubt."""
    assert [p.adapter for p in one.pairs] == [p.adapter for p in other.pairs]
    for a, b in zip(one.pairs, other.pairs):
        for side in SIDES:
            both = [np.asarray(p.side(side).image.convert("RGB"), int) for p in (a, b)]
            assert np.abs(both[0] - both[1]).mean() < 2, (a.adapter, side)


def test_every_method_is_tried_here(studio):
    assert sorted([*METHODS, "llm"]) == sorted(studio.methods), "the last needs a language model"


@pytest.mark.parametrize("method", METHODS)
def test_a_link_brings_back_the_wall_of_each_method(studio, method):
    rounding = "random" if method == "mix" else "largest remainder"
    plan = studio.plan(
        asked("a photo of a chef", "women 70", 3, 5, method=method, rounding=rounding, steps=3)
    )
    *_, first = studio.run(plan)
    followed = link.follow(query_of(plan, studio), ["embedded"])
    assert followed.unknown == []
    request = Request.checked(SERVER, **followed.asked)
    slots = link.slots_of(followed, studio.all_sources, request.n)
    assert request == plan.request and slots == plan.slots
    studio.artist.kept.images.clear()
    *_, again = studio.run(replace(studio.plan(request), slots=slots, steering=False))
    assert_alike(again, first)
    opened = archive.unzipped(archive.zipped(again))
    assert opened.request.method == method and opened.request.rounding == rounding
    assert opened.mix == first.mix, "what is saved is the mix that was used"


def rewritten(source: Path, to: Path, change) -> Path:
    """A saved comparison whose files `change` may have changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(to, "w") as new:
        for name, data in change({n: old.read(n) for n in old.namelist()}).items():
            new.writestr(name, data)
    return to


def more_pairs(files):
    data = json.loads(files["comparison.json"])
    data["pairs"] *= 3
    return {**files, "comparison.json": json.dumps(data)}


def wrong_share(files):
    data = json.loads(files["comparison.json"])
    data["target"]["gender"] = {"Female": 10**400}
    return {**files, "comparison.json": json.dumps(data)}


def large_vectors(files):
    held = io.BytesIO()
    np.savez_compressed(held, **{"debiased looks": np.zeros(20_000_000, np.float32)})
    return {**files, "vectors.npz": held.getvalue()}


def few_vectors(files):
    held = io.BytesIO()
    np.savez_compressed(held, **{f"{s} {w}": np.zeros((0, 4)) for s in SIDES for w in ("looks", "faces")})
    return {**files, "vectors.npz": held.getvalue()}


def claimed_vectors(files):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**13,)})
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as parts:
        parts.writestr("debiased looks.npy", header.getvalue())
    return {**files, "vectors.npz": held.getvalue()}


@pytest.mark.parametrize("change", [more_pairs, wrong_share, large_vectors, few_vectors, claimed_vectors])
def test_uploads_that_claim_too_much_are_refused(studio, tmp_path, change):
    *_, drawn = studio.run(studio.plan(asked("a photo of a chef", "women 70", 2, 5, steps=4)))
    good = archive.zipped(drawn)
    assert len(archive.unzipped(rewritten(good, tmp_path / "a.zip", dict)).pairs) == 2
    with pytest.raises(ValueError, match="damaged"):
        archive.unzipped(rewritten(good, tmp_path / "b.zip", change))


def test_a_wall_is_the_same_file_whenever_it_is_written(studio, monkeypatch):
    *_, drawn = studio.run(studio.plan(asked("a photo of a chef", "women 70", 2, 5, steps=4)))
    today = archive.zipped(drawn).read_bytes()
    monkeypatch.setattr("time.time", lambda: 1e9)  # 2001
    assert archive.zipped(drawn).read_bytes() == today


def test_a_damaged_upload_is_refused(studio, tmp_path):
    *_, drawn = studio.run(studio.plan(asked("a photo of a chef", "women 70", 2, 5, steps=4)))
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(archive.zipped(drawn)) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name in old.namelist():
            z.writestr(name, old.read(name))
    data = bytearray(path.read_bytes())
    data[100:400] = bytes(300)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="no zip"):
        archive.unzipped(path)


def test_a_steered_wall_comes_back_as_it_was_steered(studio):
    plan = studio.plan(asked("a photo of a nurse", "uniform", 8, 2, steps=4))
    *_, first = studio.run(plan)
    followed = link.follow(query_of(plan, studio), ["embedded"])
    slots = link.slots_of(followed, studio.all_sources, 8)
    again = studio.plan(Request.checked(SERVER, **followed.asked))
    *_, second = studio.run(replace(again, slots=slots, steering=False))
    assert_alike(second, first)


def test_slots_of_other_adapters_arent_taken_for_those_of_the_link(studio):
    """Letters count through all that a machine has: one adapter more or less shifts them."""
    plan = studio.plan(asked("a photo of a nurse", "uniform", 4, 2, method="fair diffusion"))
    followed = link.follow(query_of(plan, studio), ["embedded"])
    own = Source(("own",), ("Female",))
    other = [studio.all_sources[0], own, *studio.all_sources[1:]]
    assert link.slots_of(followed, studio.all_sources, 4) == plan.slots
    assert link.slots_of(followed, other, 4) is None
    older = replace(followed, check="")
    assert link.slots_of(older, studio.all_sources, 4) == plan.slots and link.slots_of(older, other, 4)


def test_one_bad_prompt_drops_no_other_parameter():
    for prompt in ("", "long " * 300):
        followed = link.follow({"prompt": prompt, "n": "4", "seed": "9", "target": "uniform"}, ["embedded"])
        assert followed.asked["n"] == 4 and followed.asked["seed"] == 9 and "target" in followed.asked
        assert len(followed.unknown) == 1


def test_an_older_link_of_a_method_is_known_by_its_slots(studio):
    from fairdemo.ui.studio_events import method_of

    plan = studio.plan(asked("a photo of a chef", {}, 4, 5, method="aligned: gender"))
    assert method_of("embedded", plan.slots) == "aligned: gender"
    mixed = studio.plan(asked("a photo of a chef", "uniform", 4, 5))
    assert method_of("embedded", mixed.slots) == "mix"


def test_a_walls_file_is_written_when_it_is_asked_for(studio, tmp_path, monkeypatch):
    """It is there as long as somebody keeps the wall, and leaves nothing on the server."""
    monkeypatch.setattr(places, "passing", lambda: tmp_path)
    plan = studio.plan(asked("a photo of a chef", "uniform", 2, 9, steps=2))
    *_, drawn = studio.run(plan)
    client = TestClient(Starlette(routes=wall_file.ROUTES))
    visit = Visit(plan)
    place, other = wall_file.address(visit), wall_file.address(Visit(plan))
    assert place != other and len(Path(place).stem) >= 16, "nobody guesses it"
    assert not list(tmp_path.iterdir())
    answer = client.get(place)
    assert answer.headers["content-disposition"] == 'attachment; filename="fairdemo-chef-9.zip"'
    (got := tmp_path / "got.zip").write_bytes(answer.content)
    assert_alike(archive.unzipped(got), drawn)
    for wrong in ("bytes=x", "bytes=99999999-", "bytes=0-0"):
        assert client.get(place, headers={"Range": wrong}).content == answer.content
    assert client.head(place).status_code == 200
    monkeypatch.setattr(archive, "write", lambda *a: 1 / 0)
    failed = client.get(place)
    assert failed.status_code == 503 and "ZeroDivisionError" in failed.text
    assert list(tmp_path.iterdir()) == [got]
    visit.grows = True
    assert client.get(place).status_code == 404, "what grows is no file yet"
    del visit
    gc.collect()
    gone = client.get(place)
    assert gone.status_code == 404 and "Draw it again" in gone.text
    assert client.get("wall/nothing.zip").status_code == 404


def test_an_image_can_be_fetched_while_any_wall_has_one_like_it(studio):
    """Two visitors' images of the same content have one address; who leaves first takes it from nobody."""
    *_, drawn = studio.run(studio.plan(asked("a photo of a chef", "women 70", 1, 9, steps=2)))
    one = drawn.pairs[0].baseline
    theirs, ours = (replace(one, image=one.image.copy()) for _ in range(2))
    client, place = TestClient(Starlette(routes=pictures.ROUTES)), pictures.address(theirs)
    assert pictures.address(ours) == place
    del theirs
    gc.collect()
    assert client.get(place).content == ours.tile.jpeg
    assert client.get("picture/nothing.jpg").status_code == 404


def test_a_visitor_fetches_as_many_images_as_may_be_drawn(studio, monkeypatch):
    monkeypatch.setattr(wall_file, "operator", lambda: Operator(limit_images=5))
    monkeypatch.setattr(wall_file, "LIMITS", Limits())
    plan = studio.plan(asked("a photo of a chef", "uniform", 2, 9, steps=2))
    for _ in studio.run(plan):
        pass
    visit, client = Visit(plan), TestClient(Starlette(routes=wall_file.ROUTES))
    codes = [client.get(wall_file.address(visit)).status_code for _ in range(2)]
    assert codes == [200, 429]
    again = client.get(wall_file.address(visit), headers={"Accept-Language": "es"})
    assert "diez minutos" in again.text
