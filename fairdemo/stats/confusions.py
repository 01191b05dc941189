"""How a classifier reads faces of each class: counted where the class is known, and estimated on generated
faces, where nobody knows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fairdemo.stats import measure
from fairdemo.stats.attributes import CLASSES
from fairdemo.stats.measure import Corrected

Confusion = dict[str, dict[str, dict[str, float]]]  # attribute, class, reading (`measure.reading`) -> faces

# What corrected shares take for granted, and where that is doubtful (docs/validation.md).
ASSUMPTION = (
    "Corrected is an estimate: it holds if the classifier errs here as on the faces of known class on which"
    " its errors were counted. For race in the embedded model's faces that is doubtful: two classifiers read"
    " 17.9 % of 23,790 differently, though their errors on portraits add up to 8.9 %."
)
FILES = ("confusion", "confusion_on_generated")  # .json, beside a classifier


@dataclass(frozen=True)
class Confusions:
    """A classifier's confusions; an attribute that is missing was never measured."""

    known: Confusion = field(default_factory=dict)  # counted on faces whose class is known
    # Estimated on generated faces from several readings (`latent_class`).
    generated: Confusion = field(default_factory=dict)

    def correct_from(self, attribute: str) -> int:
        """From how many faces on an attribute's corrected shares are worth showing; 0 if it isn't known."""
        return measure.faces_to_correct(self.known[attribute]) if attribute in self.known else 0

    def correct(self, attribute: str, counts: Mapping[str, int]) -> Corrected | None:
        """An attribute's shares with the known errors taken out, from counts of readings; the intervals hold
        what the errors on generated faces would give, too. Classes that nobody showed the classifier are left
        out. None where fewer than two were, and of so few faces that a correction would be further off than
        what was counted."""
        if sum(counts.values()) < max(1, self.correct_from(attribute)):
            return None
        known = {c: row for c, row in self.known.get(attribute, {}).items() if sum(row.values())}
        return measure.correct(counts, known, self.generated.get(attribute)) if len(known) > 1 else None

    def as_json(self) -> dict[str, Confusion]:
        """As files hold it (`read_confusions`)."""
        return {key: own for key, own in zip(FILES, (self.known, self.generated)) if own or key == FILES[0]}


def read_confusions(stored: Mapping[str, Any]) -> Confusions:
    """From a file that anybody may have written: "confusion" and, if it is there, "confusion_on_generated".
    TypeError, ValueError, OverflowError or AttributeError if it holds anything else."""
    known, generated = (stored.get(key, {}) for key in FILES)
    return Confusions(_read(known, int), _read(generated, float))


def _read(stored: Mapping[str, Any], number: type[int] | type[float]) -> Confusion:
    found = {
        a: {c: {str(r): number(k) for r, k in row.items()} for c, row in rows.items() if c in CLASSES[a]}
        for a, rows in stored.items()
        if a in CLASSES
    }
    every = [k for rows in found.values() for row in rows.values() for k in row.values()]
    if strange := [k for k in every if not 0 <= k < 1e12]:
        raise ValueError(f"{strange[0]} faces were read as a class; expected a number from 0")
    return found
