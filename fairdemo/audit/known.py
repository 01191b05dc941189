"""What is known about the embedded model, so that its audit can be checked against the truth: who was in its
training data, and how alike drawn people of a race are."""

import json

from fairdemo.models.profiles import DEFAULT
from fairdemo.places import SHIPPED
from fairdemo.stats.measure import Estimate
from fairdemo.world.professions import SKEWS


def women(model: str) -> dict[str, float]:
    """The share of women in a model's training data, by profession; empty where nobody knows."""
    return {name: skew.women for name, skew in SKEWS.items()} if model == DEFAULT else {}


def likeness(model: str) -> dict[str, Estimate]:
    """How alike the faces of drawn people are who vary as widely as their group does, by race
    (`world measure --only varied`); empty where nobody knows."""
    path = SHIPPED / "assets" / "measured.json"
    if model != DEFAULT or not path.is_file():
        return {}
    measured = json.loads(path.read_text(encoding="utf-8")).get("varied", {})
    wide = {race: found["wide corpus"] for race, found in measured.items() if isinstance(found, dict)}
    return {
        race: Estimate(one["similarity"], (one["interval"][0], one["interval"][1]), one["n"])
        for race, one in wide.items()
    }
