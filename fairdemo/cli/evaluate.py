"""`fairdemo evaluate`: measure a face classifier on labelled photographs."""

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm


def add(commands) -> None:
    """Describes the command."""
    p = commands.add_parser("evaluate", help="measure a face classifier on labelled photographs")
    p.add_argument("what", choices=("classifier",))
    p.add_argument(
        "--classifier",
        default="openclip-zero-shot",
        help=(
            "facenet-svm, openclip-svm, openclip-zero-shot, or a classifier's folder (default"
            " openclip-zero-shot)"
        ),
    )
    p.add_argument(
        "--data",
        required=True,
        help="a folder with labels.csv (image, race, gender, age), or a dataset of the Hub",
    )
    p.add_argument("--limit", type=int, help="pictures to use")
    p.add_argument("--out", type=Path, help="new folder for the report, the confusions and a row a picture")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Reads every picture, and prints a report by race, gender and age."""
    from fairdemo.models import hub, pipelines
    from fairdemo.readers import judge
    from fairdemo.readers.labelled import read_labelled
    from fairdemo.readers.read import FaceReader

    if args.out is not None and args.out.exists():
        raise FileExistsError(f"output folder {str(args.out)!r} exists already; name one that doesn't")
    data = read_labelled(args.data, args.limit)
    local = hub.is_local(args.classifier) or Path(args.classifier).is_dir()
    source = Path(args.classifier).resolve() if local else args.classifier
    reader = FaceReader(source, pipelines.default_device())
    with tqdm(total=len(data), desc="reading faces", file=sys.stderr) as bar:
        judged = judge.judge(reader, data, lambda done: bar.update(done - bar.n))
    report = judged.report()
    if args.out is not None:
        args.out.mkdir(parents=True)
        (args.out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
        (args.out / "confusion.json").write_text(json.dumps(judged.confusion(), indent=1) + "\n")
        judged.table.to_csv(args.out / "pictures.csv", index=False)
    print("\n".join(judge.lines(report)))
    print("Labels are as perceived by the classifier, against those of the data; intervals are 95 %.")
