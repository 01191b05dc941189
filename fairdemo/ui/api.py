"""The chain as named endpoints: for programs (gradio_client) and as MCP tools.

Whatever is sent here is answered: bad input, and too little of it, by one line that names it.
"""

import inspect
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from fairdemo.request import SERVER, Request
from fairdemo.stats import targets
from fairdemo.studio.studio import Plan
from fairdemo.ui.offered import studio
from fairdemo.ui.visits import DRAWS

# What `settings` may hold.
SETTINGS = ("method", "rounding", "steering", "dependence", "steps", "guidance")


@contextmanager
def told() -> Iterator[None]:
    """Bad input, and a model or pack that can't be had, are told in one line."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(" ".join(str(error).split()), print_exception=False) from None


def plan_of(settings: dict[str, Any] | None, **asked: Any) -> Plan:
    """The plan for a request; ValueError names what is wrong."""
    more = {} if settings is None else settings
    if not isinstance(more, dict) or not set(more) <= set(SETTINGS):
        raise ValueError(
            f"settings is {reprlib.repr(settings)[:200]}; expected a table with any of {', '.join(SETTINGS)}"
        )
    request = Request.checked(SERVER, **asked, **more)
    return studio(request.profile).plan(request)


def compare(
    prompt: str,
    n: int = 16,
    seed: int = 7,
    target: str = "uniform",
    profile: str = "embedded",
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Draws n pairs, baseline and debiased from the same noise, and returns what a classifier reads in them:
    labels for every face, counts, shares with intervals, bias and distances. Labels are as perceived by the
    classifier; every person is generated.

    Args:
        prompt: who to draw, in English, e.g. "a photo of a doctor"
        n: number of pairs, 1 to 64
        seed: the same seed gives the same images
        target: uniform, baseline, women 70, world, us, age 75/25, workforce, or shares like "race:Black=0.3"
        profile: the model, e.g. embedded
        settings: a table with any of method ("mix" or another method of the profile), rounding, steering,
            dependence, steps and guidance
    """
    with told():
        plan = plan_of(settings, prompt=prompt, n=n, seed=seed, target=target, profile=profile)
        for _ in studio(profile).run(plan):
            pass
    return plan.comparison.as_json()


def foresee(
    prompt: str,
    target: str = "uniform",
    profile: str = "embedded",
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The mix of adapters for a target and what it is expected to give, without drawing anything.

    Args:
        prompt: who to draw, in English
        target: as for compare
        profile: the model, e.g. embedded
        settings: as for compare
    """
    with told():
        mix = plan_of(settings, prompt=prompt, target=target, profile=profile).comparison.mix
    return {"weights": mix.weights, "expected": mix.expected, "short": mix.short}


def presets() -> dict[str, Any]:
    """The ready-made targets with their shares, sources and limits."""
    return {
        name: {"title": p.title, "target": p.target, "source": p.source, "limits": p.limits}
        for name, p in targets.PRESETS.items()
    }


ENDPOINTS = {"compare": compare, "foresee": foresee, "presets": presets}


def endpoints() -> None:
    """Registers them inside a `gr.Blocks`."""
    for name, function in ENDPOINTS.items():
        gr.api(function, api_name=name, **(DRAWS if function is compare else {}))


def complete(name: str, inputs: list[Any]) -> list[Any]:
    """An endpoint's inputs with the defaults of those that are left out; gr.Error names others."""
    parameters = list(inspect.signature(ENDPOINTS[name]).parameters.values())
    left = parameters[len(inputs) :]
    missing = [p.name for p in left if p.default is p.empty]
    if missing:
        raise gr.Error(f"{name} lacks the input {', '.join(missing)}", print_exception=False)
    return [*inputs[: len(parameters)], *(p.default for p in left)]


class Blocks(gr.Blocks):
    """A page whose endpoints get what was sent as it is, and check it themselves: Gradio would answer too few
    inputs with its insides, and a file's path by looking for the file."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *rest: Any, **named: Any) -> list[Any]:
        """An endpoint's inputs as they are; a component's as Gradio prepares them."""
        if block_fn.api_name in ENDPOINTS:
            return complete(block_fn.api_name, inputs)
        return await super().preprocess_data(block_fn, inputs, *rest, **named)
