"""`fairdemo data`: who is in a captioned image set, and labels for training."""

import argparse
import math
import sys
from pathlib import Path

from fairdemo.cli.audit import followed, shown


def add(commands) -> None:
    """Describes the command."""
    p = commands.add_parser("data", help="audit a captioned image set, as training data are; label a folder")
    what = p.add_subparsers(dest="what", required=True, metavar="WHAT")
    audit = what.add_parser(
        "audit", help="read who is in a captioned image set; killed at any moment, the same command goes on"
    )
    audit.add_argument(
        "source",
        help=(
            '"embedded" or "embedded balanced" (the embedded world\'s own), a folder with metadata.csv or'
            " .jsonl, Parquet, CSV, TSV, JSONL or WebDataset files, or owner/name of a dataset on the Hub"
        ),
    )
    audit.add_argument("--out", type=Path, required=True, help="the folder for rows and report")
    audit.add_argument("--limit", type=int, help="about so many images, spread over the set")
    audit.add_argument("--image", default="", metavar="COLUMN", help="of images (default: guessed)")
    audit.add_argument("--caption", default="", metavar="COLUMN", help="of captions (default: guessed)")
    audit.add_argument(
        "--reader", metavar="PROFILE", help="whose classifiers read (default: sdxl; embedded for its own)"
    )
    audit.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="KIND",
        help='what is otherwise left out: "several faces", "children", "near-duplicates"; may be repeated',
    )
    audit.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="HOST",
        help="a host of addresses that may be in a private network; may be repeated",
    )
    audit.add_argument("--seconds", type=float, default=20, help="that a download may take (default 20)")
    audit.add_argument("--actors", type=int, help="readers at work at once (default: as many as fit)")
    audit.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster (default: this machine)")
    audit.set_defaults(run=audited)
    report = what.add_parser("report", help="write report.html and findings.csv into a set's folder")
    report.add_argument("folder", type=Path, help="what `data audit` made")
    report.add_argument(
        "--audit",
        type=Path,
        action="append",
        default=[],
        help="a model's audit (`audit show`) to build the bridge to; may be repeated",
    )
    report.set_defaults(run=reported)
    show = what.add_parser("show", help="sum up a set's audit for the page's Training data tab")
    show.add_argument("folder", type=Path)
    show.add_argument("--out", type=Path, help="where to (default: the program's own folder)")
    show.set_defaults(run=shown)


def audited(args: argparse.Namespace) -> None:
    """Reads what is missing of a set, and reports what is there."""
    from pydantic import ValidationError

    from fairdemo.audit import set_report
    from fairdemo.audit.study import AT_ONCE, Study
    from fairdemo.checked import one_line
    from fairdemo.data import opening
    from fairdemo.data.captioned import LEAVABLE, Captioned
    from fairdemo.data.embedded import SETS

    if wrong := [kind for kind in args.include if kind not in LEAVABLE]:
        raise ValueError(f"include is {wrong[0]!r}; expected {' or '.join(map(repr, LEAVABLE))}")
    source = str(Path(args.source).resolve()) if Path(args.source).exists() else args.source
    try:
        asked = Captioned(
            source=source,
            image=args.image,
            caption=args.caption,
            leave_out=tuple(kind for kind in LEAVABLE if kind not in args.include),
            allow_hosts=tuple(args.allow_host),
            seconds=args.seconds,
        )
    except ValidationError as error:
        raise ValueError(one_line(error, Captioned)) from None
    reader = args.reader or ("embedded" if source in SETS else "sdxl")
    found = opening.opened(asked)
    print(f"{found.count:,} images with captions. {found.notice}".strip(), file=sys.stderr)
    limit = None if args.limit is None else math.ceil(args.limit / AT_ONCE)
    study = Study(data=(asked,), reader=reader)
    followed(study, args, limit)
    for path in set_report.write(args.out, set_report.audits(study)):
        print(path)


def reported(args: argparse.Namespace) -> None:
    """Writes a set's report."""
    from fairdemo.audit import run, set_report, summary

    study = run.study_in(args.folder)
    if not study.data:
        raise ValueError(f"{str(args.folder)!r} is a model's audit; python -m fairdemo audit report tells it")
    audits = [summary.opened(path) for path in args.audit] or set_report.audits(study)
    for path in set_report.write(args.folder, audits):
        print(path)
