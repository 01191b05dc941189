"""What a class sees: its guesses, the model's counts, its wish, blind pairs. Nobody's answer with a name."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fairdemo.comparison import Comparison
from fairdemo.lesson.lesson import GUESSED, PAIRS, REASONS, SHOWN, WALL
from fairdemo.lesson.walls import Wall, Walls
from fairdemo.measures import Counted, Share
from fairdemo.pairs import Drawn
from fairdemo.request import MIX, SERVER, Request
from fairdemo.stats.attributes import RACES
from fairdemo.stats.measure import interval
from fairdemo.stats.prompts import photo_of
from fairdemo.stats.targets import PRESETS
from fairdemo.stats.workforce import OCCUPATIONS, SOURCE

Answers = Mapping[str, Sequence[Any]]  # by question, without who
Address = Callable[[Drawn], str]  # where a picture is fetched from
COMPARED = ((MIX, "words"), ("words", "fair diffusion"), (MIX, "fair diffusion"), (MIX, "baseline"))


def request(
    seed: int, profession: str, target: Mapping[str, Any], n: int = WALL, method: str = MIX
) -> Request:
    """What a class's wall is drawn from: the same noise for every wish and method."""
    prompt = photo_of(profession)
    return Request.checked(SERVER, prompt=prompt, n=n, seed=seed, target=dict(target), method=method)


def picture(drawn: Drawn, address: Address) -> dict[str, Any]:
    """A picture and what the classifier reads in its largest face."""
    found: dict[str, Any] = {"src": address(drawn), "faces": len(drawn.faces), "failed": drawn.failed}
    if drawn.faces:
        face = drawn.faces[0]
        sure = {a: round(max(face.probability[a].values()), 2) for a in face.probability}
        found |= {"race": face.race, "gender": face.gender, "age": face.age, "sure": sure}
    return found


def counted(one: Share | Counted, n: int) -> dict[str, Any]:
    """A count of n with its interval."""
    return {"count": one.count, "n": n, "low": one.interval[0], "high": one.interval[1]}


def wall(own: Wall, side: str, address: Address) -> dict[str, Any]:
    """A side of a wall, or how far it is."""
    c = own.comparison
    if c is None:
        return {"state": "failed" if own.error else "drawing", "done": own.done, "n": own.request.n} | (
            {"error": own.error} if own.error else {}
        )
    found = c.measures.side(side)
    return {
        "state": "done",
        "prompt": c.prompt,
        "prompts": sorted(set(c.prompts.values())),
        "pictures": [picture(pair.side(side), address) for pair in c.pairs],
        "women": counted(found.gender.classes["Female"], found.gender.n),
        "race": {r: counted(found.race.classes[r], found.race.n) for r in RACES},
        "none": found.no_face - found.failed,
        "failed": found.failed,
    }


def cost(c: Comparison) -> dict[str, Any]:
    """What a wish costs: whether the profession is still shown, how like the twins are, what isn't
    reached."""
    after, before = c.measures.debiased.subject_kept, c.measures.baseline.subject_kept
    return {
        "kept": after and counted(after, after.n),
        "kept_before": before and counted(before, before.n),
        "look": round(c.measures.twins.same_look.value, 3),
        "notices": list(c.notices),
    }


def guesses(answers: Answers, profession: str) -> dict[str, list[int]]:
    """What the class guessed of a profession's wall."""
    told = answers.get(f"guess-{profession}", ())
    return {what: sorted(one[what] for one in told) for what in ("women", "white")}


def spread(values: Sequence[float], digits: int = 1) -> dict[str, float] | None:
    """The median and the middle half; None of nothing."""
    if not len(values):
        return None
    low, middle, high = np.quantile(np.asarray(values, float), [0.25, 0.5, 0.75])
    return {k: round(float(v), digits) for k, v in (("low", low), ("median", middle), ("high", high))}


def wishes(answers: Answers) -> dict[str, Any]:
    """What the class wishes: medians, spreads, and what those who give a reason wish."""
    told = answers.get("wish", ())
    shares = {r: [100 * one["race"][r] / sum(one["race"].values()) for one in told] for r in RACES}
    women = [one["women"] for one in told]
    by_reason = {r: [one["women"] for one in told if one["reason"] == r] for r in REASONS}
    return {
        "n": len(told),
        "women": spread(women),
        "every": sorted(women),
        "race": {r: spread(own) for r, own in shares.items()},
        "reasons": {r: {"n": len(own), "women": spread(own)} for r, own in by_reason.items()},
    }


def target(answers: Answers) -> dict[str, dict[str, float]]:
    """The class's wish as a target: medians, made whole. ValueError before anybody wished."""
    found = wishes(answers)
    if not found["n"]:
        raise ValueError("nobody has wished yet")
    women = found["women"]["median"] / 100
    medians = {r: found["race"][r]["median"] for r in RACES}
    whole = sum(medians.values())  # 0 where nobody's parts go together
    race = {r: m / whole if whole else 1 / len(RACES) for r, m in medians.items()}
    return {"gender": {"Female": women, "Male": 1 - women}, "race": race}


def compared(walls: Walls, seed: int, profession: str, wish: Mapping[str, Any] | None, address: Address):
    """Blind pairs of methods, sides by chance; with "names", which are left out until they are revealed."""
    wanted, found = wish or PRESETS["uniform"].target, []
    for k in range(PAIRS):
        names = list(COMPARED[k])
        if np.random.default_rng([seed, k]).random() < 0.5:
            names.reverse()
        methods = [name if name != "baseline" else MIX for name in names]
        own = [walls.of(request(seed, profession, wanted, method=method)) for method in methods]
        sides: list[Any] = []
        for name, one in zip(names, own):
            side = "baseline" if name == "baseline" else "debiased"
            c = one.comparison
            pictures = [address(p.side(side)) for p in c.pairs[:SHOWN]] if c else []
            sides.append({"pictures": pictures, "error": one.error})
        found.append({"sides": sides, "names": names})
    return found


def chosen(answers: Answers, pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How each blind pair was answered, with the interval of who chose the left one among those who chose."""
    found = []
    for k, pair in enumerate(pairs):
        votes = Counter(answers.get(f"pair-{k}", ()))
        n = votes["left"] + votes["right"]
        low, high = interval(votes["left"], n) if n else (None, None)
        told = {side: votes[side] for side in ("left", "right", "alike")}
        found.append({"names": pair["names"], **told, "low": low, "high": high})
    return found


def workforce(profession: str) -> dict[str, Any] | None:
    """The share of women among who works in a profession, with its source."""
    found = OCCUPATIONS.get(profession)
    return found and {"women": found.women, "name": found.name, "source": SOURCE}


def summary(walls: Walls, answers: Answers, seed: int, address: Address) -> list[dict[str, Any]]:
    """A class's numbers for every profession that was guessed."""
    rows = []
    for profession in GUESSED:
        own = guesses(answers, profession)
        found = wall(walls.of(request(seed, profession, {})), "baseline", address)
        rows.append(
            {
                "profession": profession,
                "n": len(own["women"]),
                "guessed": {what: spread(values) for what, values in own.items()},
                "women": found.get("women"),
                "white": found.get("race", {}).get("White"),
                "workforce": workforce(profession),
            }
        )
    return rows
