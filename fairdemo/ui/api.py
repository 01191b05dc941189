"""The chain as named endpoints: for programs (gradio_client) and as MCP tools.

Whatever is sent here is answered: bad input, and too little of it, by one line that names it.
"""

import inspect
import reprlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.context import LocalContext  # an endpoint has no place for who asks among its inputs

from fairdemo.models.gpu import Watch
from fairdemo.models.sampling import Cancelled
from fairdemo.request import SERVER, Request
from fairdemo.stats import targets
from fairdemo.studio.studio import Plan
from fairdemo.ui.limits import drawing
from fairdemo.ui.offered import agreed, studio
from fairdemo.ui.operator import operator
from fairdemo.ui.visits import DRAWS, GONE, call, facts, running

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
    agreed(request.profile)
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
        seed: the same seed gives the same images on one kind of processor
        target: uniform, baseline, women 70, world, us, age 75/25, workforce, or shares like "race:Black=0.3"
        profile: the model, e.g. embedded
        settings: a table with any of method ("mix" or another method of the profile), rounding, steering,
            dependence, steps and guidance
    """
    with told():
        plan = plan_of(settings, prompt=prompt, n=n, seed=seed, target=target, profile=profile)
        drawn(plan, LocalContext.request.get(None))
    return plan.comparison.as_json()


def drawn(plan: Plan, request: gr.Request | None) -> None:
    """Draws a plan for whoever called, until the caller goes."""
    session = request.session_hash if request else None
    images = len(plan.samples(plan.left))
    what = call(LocalContext.event_id.get(None) or secrets.token_hex(16))
    with (
        running(session, what, cancel=GONE.get()) as cancel,
        drawing(request, images, cancel, **facts(plan)) as spent,
    ):
        try:
            for _ in studio(plan.request.profile).run(plan, Watch(cancel=cancel, spent=spent)):
                pass
        except Cancelled:
            why = f": {spent.ended}" if spent.ended else ""
            raise ValueError(
                f"stopped after {len(plan.comparison.pairs)} of {plan.request.n} pairs{why}"
            ) from None


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
    """Registers them inside a `gr.Blocks`, unless whoever runs the server turned them off."""
    for name, function in ENDPOINTS.items() if operator().api == "on" else ():
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
        if any(isinstance(one, dict) and "://" in str(one.get("path")) for one in inputs):
            raise gr.Error("a file is uploaded, never fetched from an address", print_exception=False)
        return await super().preprocess_data(block_fn, inputs, *rest, **named)
