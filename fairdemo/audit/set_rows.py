"""What is known of each row of a captioned set beside how its image was read: what its caption names, who
it shows where that is known, and why it may tell nothing of a profession."""

from typing import Any

import pandas as pd

from fairdemo.audit.study import DATA, Study
from fairdemo.data import look, opening
from fairdemo.data.captioned import CHILDREN, DUPLICATES, SEVERAL_FACES
from fairdemo.data.people import read
from fairdemo.stats.attributes import AGES

NO_IMAGE = "no image"
ADDED = ["aside", "names_gender", "names_race", "true_gender", "true_race"]


def told(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """A study's rows with the columns `ADDED`: `aside` is why a row is aside, if it is."""
    found = table.sort_values(["origin", "slot"], ignore_index=True)
    said = [read(caption or "") for caption in found.seen]
    found["names_gender"] = [bool(s.gender) for s in said]
    found["names_race"] = [bool(s.race) for s in said]
    again: list[bool] = []
    for _, own in found.groupby("origin", sort=False):
        again += look.repeated([v if isinstance(v, str) else None for v in own["look"]])
    child = [AGES[0] == age or "child" in s.age for age, s in zip(found.age, said)]
    found["aside"] = [
        f"{NO_IMAGE}: {failed}"
        if isinstance(failed, str)
        else DUPLICATES
        if repeated
        else prompt
        if not listed
        else CHILDREN
        if young
        else SEVERAL_FACES
        if faces > 1
        else None
        for failed, repeated, listed, prompt, young, faces in zip(
            found.failed, again, found.listed, found.prompt, child, found.faces
        )
    ]
    return pd.concat([found, truth(found, study)], axis=1)


def truth(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Who the images show, in the columns true_gender and true_race; None where nobody knows."""
    parts = []
    sets = {o.name: opening.opened(study.set_of(o)) for o in study.origins if o.kind == DATA}
    for origin, own in table.groupby("origin", sort=False):
        known = sets[str(origin)].truth(list(own.slot))
        columns: Any = {
            f"true_{a}": known[a].to_numpy() if known is not None else None for a in ("gender", "race")
        }
        parts.append(pd.DataFrame(columns, index=own.index, dtype=object))
    return pd.concat(parts) if parts else pd.DataFrame(columns=["true_gender", "true_race"], dtype=object)


def kept(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The rows that findings are made of: those that aren't aside, or are for a reason that the study's sets
    include."""
    if "aside" not in table:
        return table
    left = {o.name: study.set_of(o).leave_out for o in study.origins if o.kind == DATA}
    may = (SEVERAL_FACES, CHILDREN, DUPLICATES)
    stays = [
        pd.isna(why) or (why in may and why not in left[origin])
        for why, origin in zip(table.aside, table.origin)
    ]
    found: Any = table[stays]
    return found[found.listed != ""]  # a near-duplicate may be of nobody as well
