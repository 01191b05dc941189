"""Command line: python -m fairdemo compare | bench | world build | world measure."""

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from fairdemo import measure, mix, targets
from fairdemo.attributes import CLASSES
from fairdemo.comparison import SIDES, Comparison


def table(comparison: Comparison) -> str:
    """Counts and shares of every class: baseline, debiased, target."""
    summary = comparison.summary()
    lines = [f"{'as perceived by the classifier':32}{'baseline':>30}{'debiased':>30}{'target':>9}"]
    for attribute, classes in CLASSES.items():
        lines.append(f"{attribute:32}" + "".join(f"{'bias ' + format(summary['bias'][side][attribute], '.2f'):>30}" for side in SIDES))
        wanted = comparison.target.get(attribute, {})
        for c in classes:
            cells = []
            for side in SIDES:
                counts = summary[side][attribute]
                n = sum(counts.values())
                low, high = measure.interval(counts[c], n)
                cells.append(f"{counts[c]} of {n}, {counts[c] / max(n, 1):.0%} ({low:.0%} to {high:.0%})")
            lines.append(f"  {c:30}" + "".join(f"{cell:>30}" for cell in cells) + (f"{wanted[c]:>9.0%}" if c in wanted else f"{'':>9}"))
        if attribute == "age" and wanted:
            lines.append("  wanted: " + ", ".join(f"{band} {share:.0%}" for band, share in wanted.items()))
    lines.append(f"{'no face':32}" + "".join(f"{summary[side]['no_face']:>30}" for side in SIDES))
    return "\n".join(lines)


def compare(args: argparse.Namespace) -> None:
    from fairdemo.compare import Studio  # torch and diffusers take seconds to import

    if args.out is not None and args.out.exists():
        raise FileExistsError(f"output folder {str(args.out)!r} exists already; name one that doesn't")
    studio = Studio(args.profile)
    comparison, slots = studio.plan(args.prompt, targets.parse(args.target), args.n, args.seed, args.slots, args.steps, args.guidance)
    with tqdm(total=100, desc="drawing", unit="%", bar_format="{l_bar}{bar}| {elapsed}<{remaining}", file=sys.stderr) as bar:
        for _ in studio.run(comparison, slots, lambda share: bar.update(round(100 * share) - bar.n)):
            pass
    for notice in comparison.notices:
        print(notice, file=sys.stderr)
    if args.out is not None:
        comparison.save(args.out)
    print(json.dumps(comparison.as_json()) if args.json else table(comparison))


def world(args: argparse.Namespace) -> None:
    if args.action == "build":
        from fairdemo.world.build import build

        build(args.work, args.denoiser_steps, args.adapter_steps)
    else:
        from fairdemo.world.evaluate import evaluate

        evaluate(args.work, args.only)


def bench(args: argparse.Namespace) -> None:
    from fairdemo.bench import bench as run

    run(args.profile)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m fairdemo", description="Shows a text-to-image model's demographic bias next to a debiased version of it.")
    commands = top.add_subparsers(required=True, metavar="command")
    p = commands.add_parser("compare", help="draw pairs, baseline and debiased, and count the faces")
    p.add_argument("prompt")
    p.add_argument("-n", type=int, default=16, help="number of pairs (default 16)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--target", default="uniform", help="uniform, baseline, 'women 70', or JSON (default uniform)")
    p.add_argument("--out", type=Path, help="new folder for comparison.json and the images")
    p.add_argument("--json", action="store_true", help="print JSON instead of a table")
    p.add_argument("--profile", default="embedded")
    p.add_argument("--slots", default=mix.METHODS[0], help=f"how slots are chosen: {' or '.join(mix.METHODS)}")
    p.add_argument("--steps", type=int)
    p.add_argument("--guidance", type=float)
    p.set_defaults(run=compare)
    p = commands.add_parser("world", help="make or measure the embedded model")
    p.add_argument("action", choices=("build", "measure"))
    p.add_argument("--work", type=Path, default=Path("build/world"), help="folder for intermediate results (default build/world)")
    p.add_argument("--denoiser-steps", type=int, default=2300)
    p.add_argument("--adapter-steps", type=int, default=800)
    p.add_argument("--only", help="measure only this, by its name")
    p.set_defaults(run=world)
    p = commands.add_parser("bench", help="time the chain against the naive ways")
    p.add_argument("--profile", default="embedded")
    p.set_defaults(run=bench)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; bad input is one line on standard error and exit code 2."""
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        print(f"fairdemo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fairdemo: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
