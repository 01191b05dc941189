"""The house stays tidy: lines, functions and parameter lists within bounds, and pins that agree."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import fairdemo

ROOT = Path(__file__).resolve().parent.parent
DRAWING = {"portrait.py", "backdrop.py", "field.py"}  # geometry and paint, written as one
CODE = sorted((ROOT / "fairdemo").rglob("*.py"))
TEXT = [
    *(
        p
        for ending in ("*.py", "*.js", "*.css", "*.html", "*.toml")
        for p in (ROOT / "fairdemo").rglob(ending)
    ),
    *(ROOT / "tests").glob("*.py"),
    ROOT / "app.py",
    ROOT / "pyproject.toml",
]


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_line_is_over_110():
    wide = [
        f"{p}:{i}"
        for p in TEXT
        for i, line in enumerate(p.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 110
    ]
    assert wide == []


def opens_text(call: ast.Call) -> bool:
    """Whether a call opens a text file, as far as its name tells."""
    of = call.func
    name = of.attr if isinstance(of, ast.Attribute) else getattr(of, "id", "")
    if name in ("read_text", "write_text"):
        return len(call.args) == (name == "write_text")
    mode = next((a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)), "")
    said = ast.unparse(of.value).lower() if isinstance(of, ast.Attribute) else "path"
    own = "path" in said
    return name == "open" and own and re.fullmatch("[rwax]?", mode) is not None


def test_text_files_are_opened_as_utf_8():
    """Windows has other encodings: Python's own warning counts what runs, this what is written."""
    bare = [
        f"{path.name}:{call.lineno}"
        for path in CODE
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and opens_text(call)
        if not any(k.arg == "encoding" for k in call.keywords)
    ]
    assert bare == []


def test_no_function_is_over_60_lines_but_the_drawings():
    long = [
        f"{p.name}: {f.name}"
        for p in CODE
        if p.name not in DRAWING
        for f in functions(p)
        if (f.end_lineno or 0) - f.lineno >= 60
    ]
    assert long == []


def test_no_parameter_list_is_over_8_and_in_front_ends_over_6():
    many = []
    for path in CODE:
        most = 6 if path.parent.name in ("ui", "cli") else 8
        for f in functions(path) if path.name not in DRAWING else ():
            count = len([*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs])
            if count > most and f.name != "__init__":
                many.append(f"{path.name}: {f.name}")
    assert many == []


def test_training_never_imports_the_drawn_world():
    """Nor anything else above it, and statistics no torch; `lint-imports` checks all of the house."""
    above = re.compile(r"^\s*(from|import) fairdemo\.(world|experiments|ui|cli)\b", re.MULTILINE)
    assert [p.name for p in (ROOT / "fairdemo/training").glob("*.py") if above.search(p.read_text())] == []
    heavy = re.compile(r"^\s*(from|import) (torch|gradio|diffusers)\b", re.MULTILINE)
    assert [p.name for p in (ROOT / "fairdemo/stats").glob("*.py") if heavy.search(p.read_text())] == []


def pins(path: Path) -> dict[str, str]:
    found = re.findall(r"(?m)^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==(\S+)$", path.read_text())
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_pins_agree():
    """requirements.txt, constraints.txt and README's `sdk_version` say the same, and all that pyproject names
    is pinned."""
    constraints = pins(ROOT / "constraints.txt")
    for path in (ROOT / "requirements.txt", ROOT / "tests/requirements.txt"):
        assert {k: constraints.get(k) for k in pins(path)} == pins(path)
    readme = re.search(r"(?m)^sdk_version: (\S+)$", (ROOT / "README.md").read_text())
    assert readme and readme[1] == constraints["gradio"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!]", d)[0]).lower() for d in project["dependencies"]}
    assert named == set(pins(ROOT / "requirements.txt"))


@pytest.mark.parametrize("folder", ["assets", "adapters"])
def test_no_file_is_larger_than_a_spaces_git_takes(folder):
    assert [p.name for p in (ROOT / folder).rglob("*") if p.is_file() and p.stat().st_size > 10_000_000] == []


def test_the_version_is_one():
    assert re.fullmatch(r"\d+\.\d+\.\d+", fairdemo.__version__)
