"""What is known of each row of a captioned set beside how its image was read: what its caption names, who
it shows where that is known, and why it may tell nothing of a profession."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from fairdemo.audit.study import Study
from fairdemo.data import look, opening
from fairdemo.data.captioned import CHILDREN, DUPLICATES, LEAVABLE, SEVERAL_FACES
from fairdemo.data.people import placed, read
from fairdemo.stats.attributes import AGES, CLASSES

NO_IMAGE = "no image"
ADDED = ["aside", "left", "child", "names_gender", "names_race", "true_gender", "true_race", "true_age"]


def told(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """A study's rows with the columns `ADDED`: `aside` is why a row may tell nothing, `left` whether it is
    left out, `child` whether the caption or the classifier says that it shows one."""
    found = table.sort_values(["origin", "slot"], ignore_index=True)
    said = [read(caption or "") for caption in found.seen]
    # As the rules are now, whatever they were when the image was read.
    found[["listed", "prompt"]] = [placed(caption or "") for caption in found.seen]
    found["names_gender"] = [bool(s.gender) for s in said]
    found["names_race"] = [bool(s.race) for s in said]
    found["child"] = [AGES[0] == age or "child" in s.age for age, s in zip(found.age, said)]
    parts = [reasons(found[found.origin == o.name], study.set_of(o).leave_out) for o in study.origins]
    return pd.concat([found, pd.concat(parts), truth(found, study)], axis=1)


def reasons(rows: Any, leave_out: Sequence[str]) -> pd.DataFrame:
    """Why each row of a set is aside, and whether it is left out. Duplicates are looked for among rows
    that would count otherwise: a picture whose first caption tells nothing counts with its second."""
    why: list[list[str]] = []
    for failed, listed, prompt, child, faces in zip(
        rows.failed, rows.listed, rows.prompt, rows.child, rows.faces
    ):
        hard = f"{NO_IMAGE}: {failed}" if isinstance(failed, str) else "" if listed else prompt
        soft = [name for name, holds in ((CHILDREN, child), (SEVERAL_FACES, faces > 1)) if holds]
        why.append([hard] if hard else soft)
    counts = [all(w in (CHILDREN, SEVERAL_FACES) and w not in leave_out for w in own) for own in why]
    looks = [v if ok and isinstance(v, str) else None for ok, v in zip(counts, rows["look"])]
    for own, again in zip(why, look.repeated(looks)):
        own += [DUPLICATES] if again else []
    left = [any(w not in LEAVABLE or w in leave_out for w in own) for own in why]
    return pd.DataFrame({"aside": [own[0] if own else None for own in why], "left": left}, index=rows.index)


def truth(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Who the images show, in the columns true_gender, true_race and true_age; None where nobody knows."""
    parts = []
    sets = {o.name: opening.opened(study.set_of(o)) for o in study.origins}
    for origin, own in table.groupby("origin", sort=False):
        known = sets[str(origin)].truth(list(own.slot))
        there = known if known is not None else pd.DataFrame()
        columns: Any = {f"true_{a}": there[a].to_numpy() if a in there else None for a in CLASSES}
        parts.append(pd.DataFrame(columns, index=own.index, dtype=object))
    return pd.concat(parts) if parts else pd.DataFrame(columns=[f"true_{a}" for a in CLASSES], dtype=object)


def kept(table: Any, study: Study) -> Any:
    """The rows that findings are made of."""
    return table[~table.left.astype(bool)] if study.data else table
