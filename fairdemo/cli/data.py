"""`fairdemo data`: who is in a captioned image set, and labels for training."""

import argparse
import math
import sys
from pathlib import Path

from fairdemo.cli.audit import DRAWINGS, followed, refuse_photographs, shown


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
    audit.add_argument("--drawings", action="store_true", help=DRAWINGS)
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
    add_label(what)


def add_label(what) -> None:
    """Describes how a folder is labelled."""
    label = what.add_parser("label", help="label a folder of images for train inc and train div")
    label.add_argument("folder", type=Path, help="of images; labels.csv is written into it")
    label.add_argument("--classifier", required=True, help="facenet-svm, openclip-svm, … or a folder")
    label.add_argument(
        "--threshold", type=float, default=0.7, help="the least probability that counts (default 0.7)"
    )
    label.add_argument(
        "--from-model",
        metavar="PROFILE",
        help="first draw people into the folder whose race and gender the prompt names; those that are read"
        " otherwise are left out",
    )
    label.add_argument(
        "--each", type=int, default=64, help="images of each race and gender to draw (default 64)"
    )
    label.set_defaults(run=labelled)


def audited(args: argparse.Namespace) -> None:
    """Reads what is missing of a set, and reports what is there."""
    from pydantic import ValidationError

    from fairdemo.audit import rows, set_report
    from fairdemo.audit.study import AT_ONCE, Study
    from fairdemo.checked import one_line
    from fairdemo.data import opening
    from fairdemo.data.captioned import LEAVABLE, Captioned
    from fairdemo.data.embedded import SETS
    from fairdemo.studio.live import Live

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
    if not found.drawn and not args.drawings:
        refuse_photographs(reader, args.source)
    Live(reader).reader  # noqa: B018  # what it lacks is told before anything is read
    print(f"{found.count:,} images with captions. {found.notice}".strip(), file=sys.stderr)
    limit = None if args.limit is None else math.ceil(args.limit / AT_ONCE)
    study = Study(data=(asked,), reader=reader)
    followed(study, args, limit)
    failed = rows.read(args.out, columns=["failed"]).failed
    for path in set_report.write(args.out, set_report.audits(study)):
        print(path)
    if len(failed) and failed.notna().all():
        why = ", ".join(f"{n:,} {reason}" for reason, n in failed.value_counts().items())
        raise ValueError(f"none of {len(failed):,} images could be had: {why}")


def reported(args: argparse.Namespace) -> None:
    """Writes a set's report."""
    from fairdemo.audit import run, set_report, summary

    study = run.study_in(args.folder)
    if not study.data:
        raise ValueError(f"{str(args.folder)!r} is a model's audit; python -m fairdemo audit report tells it")
    audits = [summary.opened(path) for path in args.audit] or set_report.audits(study)
    for path in set_report.write(args.folder, audits):
        print(path)


def labelled(args: argparse.Namespace) -> None:
    """Labels a folder, whose images a model may draw first."""
    from tqdm import tqdm

    from fairdemo.cli.progress import following
    from fairdemo.data import explicit, label
    from fairdemo.models import hub
    from fairdemo.models.precision import default_device
    from fairdemo.readers.read import FaceReader
    from fairdemo.studio.live import Live

    if not 0 <= args.threshold <= 1:
        raise ValueError(f"threshold is {args.threshold:g}; expected 0 to 1")
    if args.each < 1:
        raise ValueError(f"each is {args.each}; 1 or more is needed")
    if args.from_model:
        with tqdm(desc="drawing people", file=sys.stderr) as bar:
            explicit.draw(Live(args.from_model), args.folder, args.each, following(bar))
    label.images_in(args.folder)
    local = hub.is_local(args.classifier) or Path(args.classifier).is_dir()
    own = Path(args.classifier).resolve() if local else args.classifier
    reader = FaceReader(own, default_device())
    with tqdm(desc="reading faces", file=sys.stderr) as bar:
        how = label.Labelling(label.known_by(own), args.threshold)
        found = label.label(args.folder, reader, how, following(bar))
    for why, n in found.aside.items():
        print(f"{n:,} left out: {why}.")
    print(
        f"{found.labelled:,} of {found.images:,} images are labelled in {args.folder / label.LABELS}, as"
        " perceived by the classifier."
    )
    if not found.labelled:
        raise ValueError("no image could be labelled; a lower --threshold takes labels that are less sure")
