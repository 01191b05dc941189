"""What earlier versions wrote is still read: a saved comparison of format 3, run files, commands."""

from pathlib import Path

import pytest

from fairdemo.cli import parser
from fairdemo.cli.compare import asked
from fairdemo.comparison import load
from fairdemo.training import align, denoise, inc

HERE = Path(__file__).parent


def test_a_comparison_of_format_3_opens(tmp_path):
    """Its settings lay apart, and its one "method" was what is called rounding now."""
    comparison = load(HERE / "format_3")
    request = comparison.request
    assert (request.method, request.rounding, request.steering) == ("mix", "random", False)
    assert (request.prompt.text, request.seed, request.n, request.steps) == ("a photo of a nurse", 4, 1, 3)
    assert (
        len(comparison.pairs) == 1
        and comparison.mix.weights
        and comparison.target["gender"]["Female"] == pytest.approx(0.5)
    )
    assert comparison.measures.baseline.gender.n == 1
    comparison.save(tmp_path / "again")
    assert load(tmp_path / "again").as_json() == comparison.as_json()


def test_run_files_keep_their_old_keys(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(
        'peak = 0.25\nvalidate = 0\nprompts = ["a doctor"]\n[target.gender]\nFemale = 0.5\nMale = 0.5\n'
    )
    config = align.read_config(path)
    assert config.learning_rate == 0.25 and config.validate_every == 0
    path.write_text("peak = 0.5\n")
    assert denoise.read_config(path, inc.EMBEDDED).learning_rate == 0.5
    path.write_text("peak = 2\n")
    with pytest.raises(
        ValueError, match="learning_rate is 2; 0 to 1 are allowed|peak is 2; 0 to 1 are allowed"
    ):
        denoise.read_config(path, inc.EMBEDDED)


def test_commands_keep_their_old_options():
    arguments = parser().parse_args(["compare", "a doctor", "--slots", "random", "--no-steer"])
    request = asked(arguments)
    assert request.rounding == "random" and not request.steering
