"""Images of models that fairdemo has no profile for: any diffusers text-to-image pipeline, and any images API
that `huggingface_hub` speaks to. Only their prompts can be changed, so they have two methods: baseline and
words."""

import itertools
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image

from fairdemo.audit import images_api
from fairdemo.audit.study import BASELINE, Asked
from fairdemo.methods import words
from fairdemo.models import hub
from fairdemo.models.precision import compute_dtype, default_device, dtype_name
from fairdemo.pairs import limited
from fairdemo.request import Request
from fairdemo.stats import mix, response, targets
from fairdemo.stats.attributes import TARGET_CLASSES
from fairdemo.stats.mix import BASELINE as AS_IS
from fairdemo.stats.mix import Source

METHODS = (BASELINE, words.NAME)
AT_A_TIME = 4  # images of a pipeline in one batch: nothing is known of its size
SECONDS = 120.0  # that an API may take for an image


def known(method: str) -> None:
    """ValueError for a method that changes more than words."""
    if method not in METHODS:
        raise ValueError(
            f"method {method!r} needs a profile of fairdemo; other models have {' and '.join(METHODS)}"
        )


def dtype() -> str:
    """The numbers that pipelines compute in here."""
    return dtype_name(default_device())


@lru_cache(1)
def pipeline(name: str) -> Any:
    """A diffusers text-to-image pipeline from a folder or the Hub (owner/name, with an optional @revision),
    from safetensors alone; ValueError says what is wrong with it."""
    from diffusers import AutoPipelineForText2Image

    repository, _, revision = name.partition("@")
    device = default_device()
    try:
        made: Any = AutoPipelineForText2Image.from_pretrained(
            repository, revision=revision or None, use_safetensors=True, dtype=compute_dtype(device)
        )
    except Exception as error:  # the Hub's client, the disk and diffusers each raise their own kinds
        raise ValueError(hub.explain(error, f"pipeline {name!r}")) from error
    made.set_progress_bar_config(disable=True)
    return made.to(device)


def piped(
    name: str, texts: Sequence[str], seeds: Sequence[int], guidance: float | None
) -> list[tuple[Image.Image | str, bool]]:
    """A pipeline's images, each from its own seed."""
    found: list[tuple[Image.Image | str, bool]] = []
    more = {} if guidance is None else {"guidance_scale": guidance}
    for i in range(0, len(texts), AT_A_TIME):
        noises = [torch.Generator("cpu").manual_seed(s) for s in seeds[i : i + AT_A_TIME]]
        images = pipeline(name)(list(texts[i : i + AT_A_TIME]), generator=noises, **more).images
        found += [(image, True) for image in images]
    return found


def served(
    model: str, texts: Sequence[str], seeds: Sequence[int], guidance: float | None
) -> list[tuple[Image.Image | str, bool]]:
    """An API's images, or why one was refused, and whether each is from its seed: `model` is one of the Hub's
    inference providers, or an address. The key is FAIRDEMO_IMAGES_KEY, or HF_TOKEN. Whatever the client
    raises is raised."""
    if images_api.is_address(model):
        if guidance is not None:
            raise ValueError(f"API {model!r} takes no guidance; leave it out of the study")
        return images_api.generate(model, texts, seeds)
    from huggingface_hub import InferenceClient

    address = model.startswith(("http://", "https://"))
    key = os.environ.get("FAIRDEMO_IMAGES_KEY") or ("" if address else os.environ.get("HF_TOKEN", ""))
    provider = "hf-inference" if address else None
    client = InferenceClient(provider=provider, api_key=key or None, timeout=SECONDS)
    return [
        (limited(client.text_to_image(text, model=model, seed=seed, guidance_scale=guidance)), True)
        for text, seed in zip(texts, seeds)
    ]


@lru_cache(4)  # every shard of a prompt asks for them
def slots(method: str, asked: Asked, target: str) -> list[Source]:
    """What each of a prompt's images is drawn with: its words as asked, or with the cells that make the
    target, if every cell's words do what they say."""
    if method == BASELINE:
        return [AS_IS] * asked.images
    request = Request.checked(prompt=asked.prompt, target=target, n=1)
    wished = {a: s for a, s in request.target.items() if a not in request.prompt.named}
    cells = itertools.product(*(TARGET_CLASSES[a] for a in wished))
    choice = [Source(writer=words.NAME, cell=cell) for cell in cells] if wished else [AS_IS]
    reference = response.baseline(None, request.prompt)
    wanted = targets.joint(wished, reference.reshape(mix.SHAPE), request.dependence)
    task = mix.Task(choice, response.table(None, choice, reference), np.ravel(wanted), tuple(wished))
    return mix.allot(mix.solve(task) if wished else mix.Mix(task, np.ones(1)), asked.images)
