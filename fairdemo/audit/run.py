"""Runs a study on Ray: actors paint shards, one in hand each, and this process writes what they bring. So a
kill at any moment loses what was in the actors' hands, and nothing else."""

import os
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from fairdemo.audit import folders, painter, rows
from fairdemo.audit.study import API, DATA, FOLDER, Asked, Origin, Shard, Study, named_lists, shards
from fairdemo.data import opening
from fairdemo.models.profiles import DEFAULT
from fairdemo.stats.stopping import looks, narrow

TRIES = 3
GIB_EACH = 2.0  # that an actor with the embedded model needs
STUDY = "study.json"


@dataclass(frozen=True)
class Place:
    """Where an audit is drawn."""

    actors: int | None = None  # None: as many as devices and memory allow
    address: str | None = None  # of a cluster; None: this machine


@dataclass
class Result:
    """What became of a run."""

    drawn: int = 0  # images, this time
    failed: dict[str, str] = field(default_factory=dict)  # why shards were given up, by prompt and origin
    stopped: bool = False  # by its limit


@dataclass
class Series:
    """One prompt from one origin: its shards by look, named, and the look that it is at."""

    origin: Origin
    asked: Asked
    parts: list[list[tuple[str, Shard]]]
    at: int = 0

    def images(self, parts: slice) -> int:
        """How many images some looks add."""
        return sum(shard.end - shard.first for part in self.parts[parts] for _, shard in part)

    def names(self) -> list[str]:
        """The shards up to the look that it is at."""
        return [name for part in self.parts[: self.at + 1] for name, _ in part]


def series(study: Study) -> list[Series]:
    """All that a study asks for, in an order that changes models seldom; ValueError names what can't be."""
    painter.checked(study)
    found = []
    for origin in study.origins:
        decided = painter.decided(study, origin)
        for asked in asked_of(study, origin):
            parts = [[(rows.digest(s, decided), s) for s in part] for part in shards(study, origin, asked)]
            found.append(Series(origin, asked, parts))
    return found


def asked_of(study: Study, origin: Origin) -> list[Asked]:
    """The prompts that an origin has images for, and how many at most."""
    if origin.kind == DATA:  # whose prompts are in its captions
        return [Asked("", "", 0, opening.opened(study.set_of(origin)).count)]
    if origin.kind == FOLDER:
        own = named_lists()["control"]["prompts"]
        return [
            Asked(p, "control" if p in own else "", 0, len(files))
            for p, files in folders.prompts(origin.model).items()
        ]
    if study.half_width:
        most = looks(study.half_width)[-1].n
        return [Asked(a.prompt, a.listed, a.seed, most) for a in study.asked]
    return study.asked


@contextmanager
def opened(study: Study, out: Path) -> Iterator[None]:
    """The folder of a study, locked against other runs; ValueError if it is another study's or in use."""
    (out / rows.FOLDER).mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0.5)
    except Timeout:
        raise ValueError(f"{str(out)!r} is in use: another run writes into it") from None
    try:
        keep(study, out)
        for part in out.rglob("*.part"):
            part.unlink()
        yield
    finally:
        lock.release()


def keep(study: Study, out: Path) -> None:
    """Writes what a folder is for, whole or not at all; ValueError if it is for another study."""
    path = out / STUDY
    if path.is_file():
        there = study_in(out)
        if there.as_read() != study.as_read():
            raise ValueError(f"{str(out)!r} holds another study; name a new folder")
        if there == study:
            return
    part = path.with_suffix(".part")
    part.write_text(study.model_dump_json(indent=1), encoding="utf-8")
    os.replace(part, path)


def study_in(folder: Path) -> Study:
    """The study that a folder holds; ValueError if it holds none."""
    path = folder / STUDY
    if not path.is_file():
        raise ValueError(f"{str(folder)!r} holds no study; expected a folder that `audit run` made")
    try:
        return Study.model_validate_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is damaged: {str(error).splitlines()[0]}") from None


def run(
    study: Study,
    out: Path,
    place: Place,
    told: Callable[[int, int], None],
    limit: int | None = None,
    most: float | None = None,
) -> Result:
    """Draws what is missing of a study into the folder `out`; `told` hears of images that are there and
    images that are planned at most. `limit` ends it after as many shards, `most` before the APIs' images cost
    more, at the study's price. ValueError if it has none. Rows of weights or files that have
    changed since are put aside into rows/stale."""
    if most is not None and study.price is None:
        raise ValueError("most needs the price of an image: price = 0.04 in the study, for example")
    waiting = series(study)
    with opened(study, out):
        aside(out, {name for one in waiting for part in one.parts for name, _ in part})
        if limit is None or not study.data:
            return Driver(study, out, told, limit, most).run(waiting, place)
        result = Driver(study, out, told, None, most).run(few(waiting, limit), place)
        result.stopped = sum(len(part) for one in waiting for part in one.parts) > limit
        return result


def few(waiting: list[Series], limit: int) -> list[Series]:
    """The first `limit` shards of sets, in the order of their hashes: always the same, and from all over
    the sets, whose first images may be alike."""
    chosen = set(sorted(name for one in waiting for part in one.parts for name, _ in part)[:limit])
    return [replace(w, parts=[[t for t in part if t[0] in chosen] for part in w.parts]) for w in waiting]


def aside(out: Path, wanted: set[str]) -> None:
    """Moves shards that a study doesn't name any more into rows/stale."""
    for name in rows.finished(out) - wanted:
        (out / rows.FOLDER / "stale").mkdir(exist_ok=True)
        path = out / rows.FOLDER / f"{name}.parquet"
        os.replace(path, path.parent / "stale" / path.name)


class Driver:
    """Hands shards to actors and writes what they bring."""

    def __init__(
        self,
        study: Study,
        out: Path,
        told: Callable[[int, int], None],
        limit: int | None,
        most: float | None,
    ):
        self.study, self.out, self.told, self.limit, self.most = study, out, told, limit, most
        self.cost = 0.0  # of shards that were handed out
        self.there = rows.finished(out)
        self.queue: deque[tuple[str, Shard]] = deque()
        self.of: dict[str, Series] = {}
        self.tries: Counter[str] = Counter()
        self.result = Result()
        self.before = 0  # images that were there
        self.planned = self.begun = 0  # images of all shards that may come; shards that were handed out

    def run(self, waiting: list[Series], place: Place) -> Result:
        """Everything, from the first shard to the last."""
        self.planned = sum(one.images(slice(None)) for one in waiting)
        shards_ = [task for one in waiting for part in one.parts for task in part]
        self.before = sum(shard.end - shard.first for name, shard in shards_ if name in self.there)
        for one in waiting:
            self.of |= {name: one for part in one.parts for name, _ in part}
            self.advance(one)
        self.told(self.before, self.planned)
        if self.queue:
            self.paint(place)
        return self.result

    def advance(self, one: Series) -> None:
        """Queues what a series' look lacks; where it lacks nothing, goes on to the next unless enough is
        known."""
        while one.at < len(one.parts):
            missing = [(name, shard) for name, shard in one.parts[one.at] if name not in self.there]
            if missing:
                self.queue.extend(missing)
                return
            if self.known(one):
                self.planned -= one.images(slice(one.at + 1, None))
                one.at = len(one.parts)
            one.at += 1

    def known(self, one: Series) -> bool:
        """Whether the share of women is known as narrowly as the study wishes."""
        if not self.study.half_width or one.at + 1 == len(one.parts):
            return False
        genders = rows.read(self.out, one.names(), ["gender"]).gender.dropna()
        look, women = looks(self.study.half_width)[one.at], int((genders == "Female").sum())
        return narrow(women, len(genders), look.miss, self.study.half_width)

    def next(self) -> tuple[str, Shard] | None:
        """The next shard to be drawn, if any may be."""
        if self.limit is not None and self.begun >= self.limit:
            self.result.stopped = bool(self.queue)
            return None
        if not self.queue:
            return None
        shard = self.queue[0][1]
        cost = (shard.end - shard.first) * (self.study.price or 0) if shard.origin.kind == API else 0.0
        if self.most is not None and self.cost + cost > self.most + 1e-9:
            self.result.stopped = True
            return None
        self.cost += cost
        self.begun += 1
        return self.queue.popleft()

    def paint(self, place: Place) -> None:
        """Keeps actors at work until nothing is left; one that dies is followed by another."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        with cluster(place):
            number = min(place.actors or fitting(self.study), placeable())
            # Each actor asks each server three times whether it draws from seeds.
            self.cost += 3 * number * len(self.study.apis) * (self.study.price or 0)
            idle = [actor(self.study) for _ in range(number)]
            hand: dict[Any, tuple[Any, str, Shard]] = {}
            while True:
                while idle and (task := self.next()):
                    one = idle.pop()
                    hand[one.paint.remote(task[1], task[0])] = (one, *task)
                if not hand:
                    return
                ready, _ = ray.wait(list(hand), num_returns=1)
                one, name, shard = hand.pop(ready[0])
                try:
                    self.finish(name, shard, ray.get(ready[0]))
                    idle.append(one)
                except RayTaskError as error:  # its work failed, it lives
                    self.again(name, shard, last_line(error))
                    idle.append(one)
                except RayError as error:  # it was killed, or had too little memory
                    self.again(name, shard, ended(error))
                    idle.append(actor(self.study))

    def finish(self, name: str, shard: Shard, content: bytes) -> None:
        """Writes a shard, and queues what its series lacks then. OSError where the disk is full: what is
        written stays, and a later run goes on."""
        try:
            rows.write(self.out, name, content)
        except OSError as error:
            why = f"{error.strerror or error}; what is written stays, and the same command goes on"
            raise OSError(f"{str(self.out)!r} can't be written to: {why}") from error
        self.there.add(name)
        self.result.drawn += shard.end - shard.first
        one = self.of[name]
        if all(other in self.there for other, _ in one.parts[one.at]):
            self.advance(one)
        self.told(self.before + self.result.drawn, self.planned)

    def again(self, name: str, shard: Shard, why: str) -> None:
        """Puts a shard that failed back in the queue, or gives it up."""
        self.tries[name] += 1
        if self.tries[name] < TRIES:
            self.queue.append((name, shard))
            self.begun -= 1
        else:
            self.result.failed[f"{shard.asked.prompt} ({shard.origin.name}, from {shard.first})"] = why


@contextmanager
def cluster(place: Place) -> Iterator[None]:
    """Ray while it is needed: this machine's, or a cluster's."""
    import ray

    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if place.address:
        reachable(place.address)
        try:
            ray.init(place.address, **settings)
        except Exception as error:  # Ray raises many kinds
            raise ValueError(f"Ray cluster {place.address!r} can't be used: {last_line(error)}") from error
    else:
        # One processor an actor, however many actors are asked for.
        processors = max(place.actors or 1, psutil.cpu_count() or 1)
        environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}}
        settings |= {"include_dashboard": False, "num_cpus": processors, "runtime_env": environment}
        ray.init("local", **settings)
    try:
        yield
    finally:
        ray.shutdown()


def reachable(address: str) -> None:
    """ValueError if nobody listens at a cluster's address."""
    host, _, port = address.removeprefix("ray://").partition(":")
    if address == "auto":
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise ValueError(f"Ray cluster {address!r} can't be reached: {error}; expected host:port") from None


def actor(study: Study) -> Any:
    """A painter on Ray, with a device of its own where there are devices."""
    import ray

    devices = 1 if ray.cluster_resources().get("GPU") else 0
    return ray.remote(painter.Painter).options(num_cpus=1, num_gpus=devices).remote(study)


def fitting(study: Study) -> int:
    """How many actors fit: one a device, else one a processor as far as memory allows, else one: of the
    embedded model it is known how much it needs."""
    import ray

    resources = ray.cluster_resources()
    if devices := int(resources.get("GPU", 0)):
        return devices
    if any(o.kind not in (FOLDER, DATA) and o.model != DEFAULT for o in study.origins):
        return 1
    return max(1, int(resources.get("memory", 0) / 2**30 // GIB_EACH))


def placeable() -> int:
    """How many actors can be at work at once, each with a processor, and a device where there are some."""
    import ray

    resources = ray.cluster_resources()
    kinds = [resources[kind] for kind in ("CPU", "GPU") if resources.get(kind)]
    return max(1, int(min(kinds, default=1)))


def ended(error: Exception) -> str:
    """Why a worker ended."""
    from ray.exceptions import OutOfMemoryError

    if isinstance(error, OutOfMemoryError):
        return "a worker ran out of memory; fewer --actors, or fewer other programs, leave it more"
    return last_line(error)


def last_line(error: Exception) -> str:
    """What an error says at its end, without where it was raised."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
