"""The chain as named endpoints: for programs (gradio_client) and as MCP tools."""

from typing import Any

import gradio as gr

from fairdemo.stats import targets
from fairdemo.stats.workforce import wished
from fairdemo.ui.compare_tab import MAX_PAIRS
from fairdemo.ui.profiles import studio


def plan_of(prompt: str, n: int, seed: int, target: str, profile: str):
    try:
        return studio(profile).plan(prompt, wished(target, prompt), n, seed)
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from None


def compare(
    prompt: str, n: int = 16, seed: int = 7, target: str = "uniform", profile: str = "embedded"
) -> dict[str, Any]:
    """Draws n pairs, baseline and debiased from the same noise, and returns what a classifier reads in
    them: labels for every face, counts, shares with intervals, bias and distances. Labels are as perceived
    by the classifier; every person is generated.

    Args:
        prompt: who to draw, in English, e.g. "a photo of a doctor"
        n: number of pairs, 1 to 64
        seed: the same seed gives the same images
        target: uniform, baseline, women 70, world, us, age 75/25, workforce, or shares like
        "race:Black=0.3;gender:Female=0.6"
        profile: the model, e.g. embedded
    """
    if not 1 <= n <= MAX_PAIRS:
        raise gr.Error(f"number of pairs is {n}; 1 to {MAX_PAIRS} are allowed", print_exception=False)
    plan = plan_of(prompt, n, seed, target, profile)
    for _ in studio(profile).run(plan):
        pass
    return plan.comparison.as_json()


def foresee(prompt: str, target: str = "uniform", profile: str = "embedded") -> dict[str, Any]:
    """The mix of adapters for a target and what it is expected to give, without drawing anything.

    Args:
        prompt: who to draw, in English
        target: as for compare
        profile: the model, e.g. embedded
    """
    return plan_of(prompt, 16, 0, target, profile).comparison.mix


def presets() -> dict[str, Any]:
    """The ready-made targets with their shares, sources and limits."""
    return {
        name: {"title": p.title, "target": p.target, "source": p.source, "limits": p.limits}
        for name, p in targets.PRESETS.items()
    }


def endpoints() -> None:
    """Registers them inside a `gr.Blocks`."""
    gr.api(compare, api_name="compare", concurrency_limit=1, concurrency_id="model")
    gr.api(foresee, api_name="foresee")
    gr.api(presets, api_name="presets")
