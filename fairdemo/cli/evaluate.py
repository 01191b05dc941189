"""`fairdemo evaluate`: measure face classifiers on labelled pictures, several side by side."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm


def add(commands) -> None:
    """Describes the command."""
    p = commands.add_parser("evaluate", help="measure face classifiers on labelled pictures")
    p.add_argument("what", choices=("classifier",))
    p.add_argument(
        "--classifier",
        nargs="+",
        default=["openclip-zero-shot"],
        help=(
            "facenet-svm, openclip-svm, openclip-zero-shot, or a classifier's folder (default"
            " openclip-zero-shot); several are compared on the same faces, with the first"
        ),
    )
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--data", help="a folder with labels.csv (image, race, gender, age), or a dataset of the Hub"
    )
    source.add_argument(
        "--words",
        metavar="PROFILE",
        help='faces that a profile generates for words such as "an old Indian woman"',
    )
    p.add_argument("--limit", type=int, help="pictures to use, with --words of each of the 36 phrases")
    p.add_argument("--out", type=Path, help="new folder for reports, confusions and a row a picture")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Reads every picture with each classifier, and prints what is read right by race, gender and age."""
    from fairdemo.readers import judge
    from fairdemo.readers.labelled import read_labelled

    if args.out is not None and args.out.exists():
        raise FileExistsError(f"output folder {str(args.out)!r} exists already; name one that doesn't")
    if len(set(args.classifier)) < len(args.classifier):
        raise ValueError(f"classifier names {', '.join(args.classifier)}; expected each once")
    data = worded(args.words, args.limit) if args.words else read_labelled(args.data, args.limit)
    judged = {name: read(name, data) for name in args.classifier}
    if len(data) and not any(one.table.opened.any() for one in judged.values()):
        raise ValueError(f"none of {len(data):,} pictures can be opened; first {data.first}")
    for k, (name, one) in enumerate(judged.items(), 1):
        if args.out is not None:
            folder = args.out if len(judged) == 1 else args.out / f"{k}-{Path(name).name}"
            folder.mkdir(parents=True)
            (folder / "report.json").write_text(json.dumps(one.report(), indent=1) + "\n", encoding="utf-8")
            (folder / "confusion.json").write_text(
                json.dumps(one.confusion(), indent=1) + "\n", encoding="utf-8"
            )
            one.table.to_csv(folder / "pictures.csv", index=False)
    if len(judged) == 1:
        print("\n".join(judge.lines(judged[args.classifier[0]].report())))
    else:
        found = judge.compared(judged)
        if args.out is not None:
            (args.out / "compared.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print("\n".join(judge.compared_lines(found)))
    print("Labels are as perceived by the classifier, against those of the data; intervals are 95 %.")


def worded(profile: str, limit: int | None) -> Any:
    """Faces that a profile generates for words."""
    from fairdemo.experiments.worded import worded
    from fairdemo.studio.live import Live

    return worded(Live(profile), limit or 8)


def read(classifier: str, data: Any) -> Any:
    """What a classifier reads in all pictures, behind a progress bar."""
    from fairdemo.models import hub
    from fairdemo.models.precision import default_device
    from fairdemo.readers import judge
    from fairdemo.readers.read import FaceReader

    local = hub.is_local(classifier) or Path(classifier).is_dir()
    reader = FaceReader(Path(classifier).resolve() if local else classifier, default_device())
    with tqdm(total=len(data), desc=f"reading faces, {classifier}", file=sys.stderr) as bar:
        return judge.judge(reader, data, lambda done: bar.update(done - bar.n))
