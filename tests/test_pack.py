"""Packs: made with the shipped model, opened by `datasets`, by the app's studio and by hostile hands."""

import json
import shutil
from dataclasses import replace

import httpx
import numpy as np
import pandas as pd
import pytest
from datasets import load_dataset

from fairdemo.__main__ import main
from fairdemo.comparison import load
from fairdemo.models.sampling import Sample, Setting, by_default
from fairdemo.places import SHIPPED as ROOT
from fairdemo.stats import targets
from fairdemo.stats.mix import Source
from fairdemo.studio import packs
from fairdemo.studio.pool import PACK_SEED, is_pack, open_pack
from fairdemo.studio.studio import Studio, artist_of
from tests import browser, stand_in_hub
from tests.conftest import PROMPTS, SEEDS, STEPS, asked
from tests.small_models import save_profile


def copy(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy"


def rewrite(folder, change):
    path = folder / "data/metadata.parquet"
    change(pd.read_parquet(path)).to_parquet(path)


def test_a_pack_is_whole_and_opens_with_datasets(folder, live, capsys, tmp_path, monkeypatch):
    assert main(["pack", "check", str(folder)]) == 0
    sources = 1 + 15
    assert f"{2 * sources * SEEDS} images, all right" in capsys.readouterr().out
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    rows = load_dataset(str(folder), split="train", cache_dir=str(tmp_path))
    assert len(rows) == 2 * sources * SEEDS
    assert rows[0]["image"].size == (256, 256) and rows[0]["prompt"] in PROMPTS
    assert (
        "as perceived by a classifier" in (folder / "README.md").read_text()
        and "Apache-2.0" in (folder / "README.md").read_text()
    )
    with pytest.raises(ValueError, match="another pack"):
        packs.make(live, folder, packs.order("two-prompts", PROMPTS, SEEDS + 1))


def test_the_same_screen_runs_on_a_pack(folder, studio, tmp_path):
    pool = Studio(artist_of(str(folder)))
    plan = pool.plan(asked("A photo of a Doctor", "uniform", SEEDS, 3))
    comparison = list(pool.run(plan))[-1]
    assert not hasattr(pool.artist, "generator"), "there is no model"
    assert (
        len(comparison.pairs) == SEEDS
        and comparison.request.profile == "two-prompts"
        and comparison.prompt == PROMPTS[0]
    )
    assert len({np.asarray(p.baseline.image).tobytes() for p in comparison.pairs}) == SEEDS, (
        "every slot has a noise of its own"
    )

    def women(target):  # of both prompts' pairs
        return sum(
            list(pool.run(pool.plan(asked(p, target, SEEDS, 3))))[-1].counts("debiased")["gender"]["Female"]
            for p in PROMPTS
        )

    assert abs(women(targets.PRESETS["uniform"].target) - SEEDS) <= 1
    assert women({"gender": {"Female": 1.0, "Male": 0.0}}) >= 2 * SEEDS - 1
    comparison.save(tmp_path / "saved")
    assert load(tmp_path / "saved").as_json() == json.loads(json.dumps(comparison.as_json()))


def test_twins_in_a_pack_are_the_models_twins(folder, live):
    """A pack holds what the model draws and the classifier reads, but for WebP's small losses."""
    pool = open_pack(str(folder))
    name = live.adapters[3].name
    samples = [Sample(2), Sample(2, Source((name,)))]
    (found,) = pool.draw(Setting(PROMPTS[1], 0, 12, 2.0), samples)
    stored = [found[one] for one in samples]
    slot = int(np.random.default_rng(0).permutation(SEEDS)[2])
    setting = by_default(live.profile, PROMPTS[1], PACK_SEED + 1)
    drawn = live.fresh(setting, [Sample(slot), Sample(slot, Source((name,)))])
    for a, b in zip(stored, drawn):
        assert np.abs(np.asarray(a.image).astype(int) - np.asarray(b.image)).mean() < 4
        assert [f.cell for f in a.faces] == [f.cell for f in b.faces] and a.subject == b.subject


@pytest.mark.parametrize(
    "prompt, n, steps, message",
    [
        (
            "a photo of a pilot",
            4,
            None,
            (
                "holds images for 2 prompts: “a photo of a doctor”, “a photo of a nurse”. “a photo of a"
                " pilot” isn't one"
            ),
        ),
        (PROMPTS[0], 64, None, f"at most {SEEDS} pairs are possible, not 64"),
        (PROMPTS[0], SEEDS, 40, f"was drawn with {STEPS} steps"),
    ],
)
def test_what_a_pack_cannot_show(folder, prompt, n, steps, message):
    with pytest.raises(ValueError, match=message):
        Studio(artist_of(str(folder))).plan(asked(prompt, {}, n, 0, steps=steps))


def test_damaged_and_hostile_packs_are_refused(folder, tmp_path, capsys):
    pack = copy(folder, tmp_path)
    rewrite(pack, lambda t: t.drop(index=[SEEDS - 1, SEEDS + 1]))
    with pytest.raises(
        ValueError,
        match=f"misses 2 of {32 * SEEDS} images, first “a photo of a doctor”, baseline, number {SEEDS - 1}",
    ):
        Studio(artist_of(str(pack)))
    shutil.rmtree(pack)
    pack = copy(folder, tmp_path)
    rewrite(pack, lambda t: t.assign(file_name=["../../secret.webp", *t.file_name[1:]]))
    with pytest.raises(ValueError, match="lies outside of its images"):
        Studio(artist_of(str(pack)))
    shutil.rmtree(pack)
    pack = copy(folder, tmp_path)
    first = pd.read_parquet(pack / "data/metadata.parquet").file_name
    (pack / "data" / first[0]).write_bytes(b"RIFF0000WEBPnothing")
    (pack / "data" / first[1]).unlink()
    (pack / "data/images/extra.webp").write_bytes(b"x")
    assert main(["pack", "check", str(pack)]) == 2
    printed = capsys.readouterr().err
    assert (
        "has 3 faults" in printed
        and "isn't the file that was made" in printed
        and "is missing" in printed
        and "belongs to no row" in printed
    )
    with pytest.raises(ValueError, match="can't be opened.*pack check"):
        pool = open_pack(str(pack))
        pool.image(0)
    (pack / "data/metadata.parquet").write_bytes(b"PAR1 no parquet")
    with pytest.raises(ValueError, match="is damaged"):
        Studio(artist_of(str(pack)))
    (pack / "pack.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="format 99, expected 1"):
        Studio(artist_of(str(pack)))


def test_a_folder_named_like_a_profile_is_no_pack(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "sdxl")
    monkeypatch.chdir(tmp_path)
    assert not is_pack("sdxl") and is_pack("./sdxl")


def test_a_pack_of_the_hub_is_shown_by_its_name(folder, tmp_path):
    """As on a Space without a GPU: the Hub's client leaves links into a cache of its own. What is printed
    goes to a log in Windows' encoding, which lacks the hammer that Gradio prints."""
    shutil.copytree(folder, tmp_path / "hub" / "someone" / "faces")
    with stand_in_hub.hub(tmp_path / "hub") as (address, fetched):
        settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"}
        settings |= {"PYTHONIOENCODING": "cp1252"}
        name = f"someone/faces@{stand_in_hub.COMMIT}"
        with browser.served(FAIRDEMO_PROFILE=name, **settings) as url:
            told = httpx.get(f"{url}/health").json()
            assert told["profile"] == "two-prompts" and "data/metadata.parquet" in fetched
            request = {"data": [PROMPTS[0], 2, 3, "uniform", "two-prompts", {}]}
            event = httpx.post(f"{url}/gradio_api/call/compare", json=request).json()["event_id"]
            answer = httpx.get(f"{url}/gradio_api/call/compare/{event}", timeout=240).text
            assert "event: complete" in answer and "two-prompts" in answer
    snapshot = next((tmp_path / "cache").rglob("metadata.parquet"))
    assert snapshot.is_symlink()


def test_a_pack_that_is_nowhere(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="pack 'someone/no-such-pack'.*Hub can't be reached"):
        artist_of("someone/no-such-pack")


def test_a_pack_says_in_what_it_was_computed(folder, studio, tmp_path):
    pool = open_pack(str(folder))
    assert pool.dtype == studio.artist.dtype == json.loads((folder / "pack.json").read_text())["dtype"]
    older = replace(pool, about={k: v for k, v in pool.about.items() if k != "dtype"})
    assert older.dtype == "" and Studio(older).plan(asked("a photo of a doctor", {}, 1, 0))


# The pack, a tiny Stable Diffusion 1.5 and a model that can't be had in a real browser.
needs_chromium = pytest.mark.skipif(
    browser.CHROMIUM is None, reason="needs a Chromium: apt-get install chromium"
)


@pytest.fixture(scope="module")
def page(folder, chromium, tmp_path_factory):
    own = tmp_path_factory.mktemp("profiles")
    tiny = save_profile(own / "tiny", "sd15", title="Tiny 1.5", classifier=str(ROOT / "assets/classifier"))
    settings = {"FAIRDEMO_AHEAD": "off", "CUDA_VISIBLE_DEVICES": "", "HF_HOME": str(own / "hub")}
    with browser.served(FAIRDEMO_PROFILE=f"{folder},{tiny}", **settings) as url:
        yield browser.arrive(browser.visitor(chromium).new_page(), url)


@needs_chromium
def test_a_pack_is_the_same_screen_without_a_model(page):
    assert page.locator("#prompt textarea, #prompt input").first.input_value() == "a photo of a doctor"
    assert page.locator("#number input[type=number]").input_value() == str(SEEDS)
    page.click("#draw")
    page.wait_for_selector(f"text={SEEDS} pairs in", timeout=240_000)
    assert float(page.locator("#status").inner_text().split(" in ")[1].split(" s")[0]) < 3, (
        "chosen, not drawn"
    )
    assert (
        page.locator("#wall-baseline .tile img").count()
        == page.locator("#wall-debiased .tile img").count()
        == SEEDS
    )
    before = browser.faces(page, "debiased")
    browser.move(page, "Female", 1.0)
    page.wait_for_selector("#status >> text=Reassigned from images", timeout=240_000)
    assert browser.faces(page, "debiased") != before
    page.fill("#prompt textarea, #prompt input", "a photo of a unicorn")
    page.click("#draw")
    page.wait_for_selector("text=isn't one of them", timeout=240_000)


@needs_chromium
def test_a_tiny_stable_diffusion_draws(page):
    browser.turn_to(page, "Tiny 1.5")
    page.wait_for_selector("#status >> text=no GPU", timeout=240_000)
    page.fill("#prompt textarea, #prompt input", "a photo of a pilot")
    browser.draw(page, 4)
    assert page.locator("#findings >> text=No face found: 4 before, 4 after").count() == 1, (
        "random weights draw nobody"
    )


@needs_chromium
def test_a_model_that_cannot_be_had_says_so_and_the_app_goes_on(page):
    browser.turn_to(page, "SDXL")
    browser.set_number(page, 4)
    page.click("#draw")
    page.wait_for_selector("#status >> text=the Hub can't be reached", timeout=240_000)
    assert "profile embedded works without it" in page.locator("#status").inner_text()
    browser.turn_to(page, "Embedded")
    browser.draw(page, 4)
    assert page.locator("#wall-debiased .tile[data-race]").count() >= 3
