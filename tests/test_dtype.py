"""In which numbers a machine computes: FAIRDEMO_DTYPE chooses, and whatever is kept says what it was."""

import json
from dataclasses import replace
from urllib.parse import parse_qsl

import pyarrow.parquet as pq
import pytest
import torch

from fairdemo import comparison as comparisons
from fairdemo.__main__ import main
from fairdemo.audit import check, report, rows, summary
from fairdemo.cli import doctor
from fairdemo.experiments import dtypes
from fairdemo.models.precision import autocast, compute_dtype
from fairdemo.places import SHIPPED
from fairdemo.studio.live import Live
from fairdemo.studio.pool import PACK_SEED, open_pack
from fairdemo.studio.studio import Studio
from fairdemo.ui import audit_tab, link
from fairdemo.ui.studio_events import compare_dtypes
from tests.conftest import asked

OTHER = {"float32": "bfloat16", "bfloat16": "float32"}
DOCTORS = asked("a photo of a doctor", {}, 2, 11, steps=2)


@pytest.mark.parametrize("name", OTHER)
def test_the_variable_chooses_whatever_the_processor_does_best(monkeypatch, name):
    monkeypatch.setenv("FAIRDEMO_DTYPE", name)
    assert compute_dtype("cpu") == getattr(torch, name)
    with autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == getattr(torch, name)
    assert Live("embedded", "cpu").dtype == name


def test_without_it_hardware_decides(monkeypatch):
    monkeypatch.delenv("FAIRDEMO_DTYPE", raising=False)
    for knows, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda knows=knows: knows)
        assert compute_dtype("cpu") == dtype


def test_another_value_is_named_in_a_line(monkeypatch, capsys):
    monkeypatch.setenv("FAIRDEMO_DTYPE", "float8")
    assert main(["compare", "a photo of a doctor", "-n", "1"]) == 2
    error = capsys.readouterr().err
    assert error.splitlines() == ["fairdemo: FAIRDEMO_DTYPE is 'float8'; float32 or bfloat16 is allowed"]
    (told,) = (one for one in doctor.machine() if one.what == "computes in")
    assert "float8" in told.found and "unset FAIRDEMO_DTYPE" in told.mend


@pytest.fixture(scope="module")
def both():
    """One prompt's baseline and mix, drawn in either dtype; few, since bfloat16 is slow on a processor that
    doesn't multiply it."""
    return dtypes.draw_twice(["a photo of a nurse"], 2, steps=2)


def test_both_draw_images_that_are_alike_to_the_eye(both):
    assert [one.side for one in both] == ["baseline", "mix"]
    for one in both:
        assert len(one.float32) == len(one.bfloat16) == 2
        far = one.pixels().mean((1, 2, 3))
        assert 0 < far.max() < 8, "other noise is 20 and more away"
    kinds = [row[0] for row in dtypes.rows(both)]
    assert len(kinds) == 6 and "4 images" in kinds[0]


def test_a_comparison_says_in_what_it_was_computed(studio, tmp_path):
    plan = studio.plan(DOCTORS)
    *_, drawn = studio.run(plan)
    own = studio.artist.dtype
    drawn.save(tmp_path / "own")
    path = tmp_path / "own" / "comparison.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert stored["dtype"] == own and comparisons.load(path.parent).dtype == own
    del stored["dtype"]  # as an earlier version wrote it
    path.write_text(json.dumps(stored), encoding="utf-8")
    assert comparisons.load(path.parent).dtype == ""
    path.write_text(json.dumps(stored | {"dtype": "<b>float8"}), encoding="utf-8")
    with pytest.raises(ValueError, match="is damaged"):
        comparisons.load(path.parent)


def test_a_wall_of_shipped_and_new_images_names_both(live, monkeypatch):
    """The opening wall comes with the app, in bfloat16; what a slider adds is this machine's."""
    monkeypatch.setenv("FAIRDEMO_DTYPE", "float32")
    own = Studio(Live("embedded", "cpu"))
    shipped = own.artist.shipped
    plan = own.plan(asked(shipped.prompts[0], {}, 1, PACK_SEED, steps=12))
    *_, drawn = own.run(plan)
    assert drawn.dtype == "bfloat16", "it is shown as it was shipped"
    other = own.plan(asked(shipped.prompts[0], {}, 1, 5, steps=2))
    *_, new = own.run(other)
    assert new.dtype == "float32"
    drawn.pairs.append(replace(new.pairs[0], slot=1))
    assert drawn.dtype == "bfloat16, float32"


def test_a_link_says_it_and_is_checked(studio):
    plan = studio.plan(DOCTORS)
    assert plan.comparison.dtype == "", "nothing is drawn yet"
    list(studio.run(plan))
    query = dict(parse_qsl(link.query(plan, studio.all_sources).removeprefix("?")))
    assert query["dtype"] == studio.artist.dtype
    assert link.follow(query, ["embedded"]).dtype == studio.artist.dtype
    del query["dtype"]
    assert link.follow(query, ["embedded"]).dtype == ""
    both = link.follow(query | {"dtype": "bfloat16, float32"}, ["embedded"])
    assert both.dtype == "bfloat16, float32" and not both.unknown
    assert compare_dtypes("", "float32", "en") == compare_dtypes("float32", "float32", "en") == []
    strange = link.follow(query | {"dtype": "float8"}, ["embedded"])
    assert strange.dtype == "" and strange.unknown == ["dtype “float8”"]
    assert strange.slots == link.follow(query, ["embedded"]).slots, "the rest of the link still holds"


def test_what_is_shipped_says_it():
    assert open_pack(str(SHIPPED / "assets" / "walls" / "embedded")).dtype == "bfloat16"
    for path in summary.offered().values():
        own = summary.opened(path)
        counts = own.rows["dtype"].value_counts()
        assert set(counts.index) <= {"bfloat16", "float32"} and own.found.dtypes == dict(counts)


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """A small audit that was run here."""
    folder = tmp_path_factory.mktemp("audit")
    study = folder / "study.toml"
    study.write_text('prompts = ["a photo of a doctor"]\nimages = 4\n')
    assert main(["audit", "run", str(study), "--out", str(folder / "rows"), "--actors", "1"]) == 0
    return folder / "rows"


def test_an_audits_rows_and_report_say_it(audited, studio):
    own = studio.artist.dtype
    assert set(rows.read(audited)["dtype"]) == {own}
    study, _, found = summary.found_in(audited)
    assert found.dtypes == {own: 4} and f"computed in {own}" in report.page(study, found)


def test_rows_of_an_earlier_version_stay_readable(audited):
    (path,) = (audited / "rows").glob("*.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["dtype"]), path)
    assert check.faults(audited) == []
    assert summary.found_in(audited)[2].dtypes == {}


def test_the_audit_tab_says_when_faces_are_drawn_in_other_numbers(studio, monkeypatch):
    of = audit_tab.behind(
        audit_tab.opened(audit_tab.OPENING),
        "embedded, mix",
        {"prompt": "a photo of a doctor", "group": "women"},
        0,
    )
    for own, said in (("float32", True), ("bfloat16", False)):
        monkeypatch.setenv("FAIRDEMO_DTYPE", own)
        assert ("drawn again here in float32" in audit_tab.other_numbers(of, "en")) is said
