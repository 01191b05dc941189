"""`fairdemo audit`: plan, run, check and report the audit of a whole model."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from fairdemo.audit.study import Study


DRAWINGS = "images from elsewhere are the embedded model's drawings, so that its own classifier may read them"


def add(commands) -> None:
    """Describes the command."""
    p = commands.add_parser("audit", help="audit a whole model: many prompts, methods, images; resumable")
    what = p.add_subparsers(dest="what", required=True, metavar="WHAT")
    plan = what.add_parser("plan", help="say images, time and disk of a study before anything is drawn")
    plan.add_argument("study", type=Path, help="a TOML file (docs/audit.md)")
    plan.set_defaults(run=planned)
    run = what.add_parser("run", help="draw a study; killed at any moment, the same command goes on")
    run.add_argument("study", type=Path, help="a TOML file (docs/audit.md)")
    run.add_argument("--out", type=Path, required=True, help="the study's folder")
    run.add_argument("--actors", type=int, help="models at work at once (default: as many as fit)")
    run.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster (default: this machine)")
    run.add_argument("--limit", type=int, help="for a taste: end after as many shards of up to 32 images")
    run.add_argument("--most", type=float, help="end before the APIs' images cost more (price, in the study)")
    run.add_argument("--drawings", action="store_true", help=DRAWINGS)
    run.set_defaults(run=drawn)
    check = what.add_parser("check", help="verify the rows of a study's folder")
    check.add_argument("folder", type=Path)
    check.set_defaults(run=checked)
    report = what.add_parser("report", help="write report.html and findings.csv into a study's folder")
    report.add_argument("folder", type=Path)
    report.set_defaults(run=reported)
    show = what.add_parser("show", help="sum up a study for the page's Audit tab")
    show.add_argument("folder", type=Path)
    show.add_argument("--out", type=Path, help="where to (default: the program's own folder)")
    show.set_defaults(run=shown)
    push = what.add_parser("push", help="upload a study's rows as a dataset of the Hub")
    push.add_argument("folder", type=Path)
    push.add_argument("repository", help="owner/name")
    push.set_defaults(run=pushed)


def planned(args: argparse.Namespace) -> None:
    """Says what a study comes to."""
    from fairdemo.audit import plan, study

    print(plan.told(plan.of(study.read(args.study))))


def drawn(args: argparse.Namespace) -> None:
    """Draws what is missing of a study."""
    from fairdemo.audit import study
    from fairdemo.data.embedded import SETS

    asked = study.read(args.study)
    elsewhere = [o.name for o in asked.origins if o.kind != study.PROFILE and o.model not in SETS]
    if elsewhere and not args.drawings:
        refuse_photographs(asked.reader, elsewhere[0])
    followed(asked, args, args.limit)


def refuse_photographs(reader: str, source: str) -> None:
    """ValueError if the classifier that was trained on drawn faces is to read what may be photographs."""
    from fairdemo.models.profiles import DEFAULT

    if reader == DEFAULT:
        raise ValueError(
            f"reader {reader!r} was trained on drawn faces, and its labels of photographs mean nothing; name"
            f' another for {source!r}, e.g. "sdxl", or say --drawings if it holds drawings of that model'
        )


def followed(asked: "Study", args: argparse.Namespace, limit: int | None) -> None:
    """Runs what is missing of a study, up to `limit` shards, and tells what became of it."""
    from fairdemo.audit.run import Place, run

    for name in ("actors", "limit"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; 1 or more is needed")
    start = time.monotonic()
    with tqdm(desc="images", unit="", file=sys.stderr) as bar:

        def told(done: int, of: int) -> None:
            bar.total = of
            bar.initial = bar.initial or done
            bar.update(done - bar.n)
            bar.refresh()

        most = getattr(args, "most", None)
        result = run(asked, args.out, Place(args.actors, args.ray), told, limit, most)
    spent = time.monotonic() - start
    print(f"{result.drawn:,} images in {spent:.0f} s. Rows are in {args.out}.")
    if result.stopped:
        print("It ended at its limit; the same command without --limit or --most goes on.")
    for what, why in result.failed.items():
        print(f"Given up after three tries: {what}: {why}", file=sys.stderr)
    if result.failed:
        raise ValueError(f"{len(result.failed)} shards failed; the same command tries them again")


def checked(args: argparse.Namespace) -> None:
    """Verifies the rows of a folder."""
    from fairdemo.audit import check

    print("\n".join(check.told(args.folder)))


def reported(args: argparse.Namespace) -> None:
    """Writes a folder's report."""
    from fairdemo.audit import report, run, set_report

    study = run.study_in(args.folder)
    write = (
        set_report.write(args.folder, set_report.audits(study)) if study.data else report.write(args.folder)
    )
    for path in write:
        print(path)


def shown(args: argparse.Namespace) -> None:
    """Sums up a folder for the page."""
    from fairdemo.audit import run, summary

    shelf = summary.DATA_SETS if run.study_in(args.folder).data else summary.AUDITS
    print(summary.write(args.folder, args.out or summary.own(shelf) / args.folder.resolve().name))


def pushed(args: argparse.Namespace) -> None:
    """Uploads a folder's rows."""
    from fairdemo.audit import dataset

    dataset.push(args.folder, args.repository)
    print(f"Dataset {args.repository} has the rows of {args.folder}.")
