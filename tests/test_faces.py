"""Real photographs through the real detector; drawn people through the shipped classifier."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairdemo.readers.detect import Detector, area_inside
from fairdemo.readers.embed import CROP, crop
from fairdemo.stats.attributes import GENDERS, RACES
from fairdemo.world import parts, people
from fairdemo.world.portrait import draw

FAIRFACE = Path(__file__).resolve().parents[2] / "shared" / "fairface"
needs_photographs = pytest.mark.skipif(
    not FAIRFACE.is_dir(),
    reason="needs 180 FairFace photographs (CC BY 4.0, HuggingFaceM4/FairFace) in ../shared/fairface",
)


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(90210)
    who = [(r, g) for r in RACES for g in GENDERS for _ in range(5)]
    sample = [people.sample(rng, r, g, rng.uniform(22, 70)) for r, g in who]
    return who, sample, [Image.fromarray(draw(p, 128, 77 + i, 1.5)) for i, p in enumerate(sample)]


@needs_photographs
def test_detector_finds_the_people_in_photographs():
    images = [Image.open(p) for p in sorted((FAIRFACE / "images").glob("*.jpg"))[:60]]
    found = Detector().detect(images)
    assert sum(len(f) > 0 for f in found) >= 58
    for image, f in zip(images, found):
        areas = [area_inside(d.box, image.size) for d in f]
        assert areas == sorted(areas, reverse=True)


def test_detector_takes_mixed_sizes_and_modes(drawn):
    image = drawn[2][0]
    variants = [
        image,
        image.resize((200, 200)),
        image.convert("L"),
        image.convert("RGBA"),
        Image.new("RGB", (60, 90)),
    ]
    assert [len(f) for f in Detector().detect(variants)] == [1, 1, 1, 1, 0]


def test_drawn_people_are_found_and_read(live, drawn):
    who, _, images = drawn
    faces = live.reader.read(images)
    assert sum(len(f) == 1 for f in faces) >= 58
    seen = [(w, f[0]) for w, f in zip(who, faces) if f]
    assert np.mean([f.gender == w[1] for w, f in seen]) >= 0.9
    assert np.mean([f.race == w[0] for w, f in seen]) >= 0.8
    for _, f in seen:
        for probabilities in f.probability.values():
            assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)


def test_likeness_same_person_over_others(live, drawn):
    _, sample, images = drawn
    others = [Image.fromarray(draw(p, 128, 500 + i, 1.5)) for i, p in enumerate(sample)]

    def vectors(pictures):
        return live.reader.backbone.embed(
            np.stack(
                [
                    crop(im, f[0].box if f else (24, 16, 104, 112))
                    for im, f in zip(pictures, live.reader.detector.detect(pictures))
                ]
            )
        )

    a, b = vectors(images), vectors(others)
    assert np.allclose(np.linalg.norm(a, axis=1), 1, atol=1e-5)
    similarity = a @ b.T
    assert np.mean(similarity.argmax(1) == np.arange(len(a))) >= 0.9


def test_crops_beyond_the_edge():
    picture = Image.fromarray(np.full((40, 40, 3), 200, np.uint8))
    assert crop(picture, (-5, -5, 45, 45)).shape == (CROP, CROP, 3)
    assert (crop(picture, (-5, -5, 45, 45)) == 200).all()


def test_parts_checker_tells_whole_from_damaged(drawn):
    from fairdemo.places import SHIPPED as ROOT
    from fairdemo.readers.vision import load_weights

    checker = load_weights(parts.PartsChecker(), ROOT / "assets/classifier/parts_checker.safetensors")
    images = np.stack([np.asarray(im) for im in drawn[2]])
    assert np.mean(parts.whole(checker, images)) >= 0.9
    broken = images.copy()
    broken[:, parts.TOP : parts.TOP + parts.SIDE, parts.LEFT : parts.LEFT + parts.SIDE] = parts.spoiled(
        parts.middle(images), 4
    )
    assert np.mean(~parts.whole(checker, broken)) >= 0.85


def test_damage_changes_one_part_only():
    patch = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for kind in parts.DAMAGES:
        changed = (parts.damage(patch, kind, np.random.default_rng(1)) != patch).any(-1)
        assert 40 < changed.sum() < 0.4 * 64 * 64
