"""Times the chain against the naive ways, in one run on one machine; ratios are what counts."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.utils import logging
from facenet_pytorch import MTCNN, InceptionResnetV1
from PIL import Image
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from fairdemo.methods.method import Method
from fairdemo.models import pipelines, profiles, routing
from fairdemo.models.catalog import Adapter
from fairdemo.models.generating import PairedGenerator
from fairdemo.models.precision import compute_dtype, default_device
from fairdemo.models.profiles import Profile
from fairdemo.models.sampling import Sample, Setting, by_default, through
from fairdemo.places import SHIPPED
from fairdemo.readers.detect import Detector
from fairdemo.readers.embed import Backbone, crop
from fairdemo.stats.mix import Source
from fairdemo.studio.live import Live

IMAGES = 24
READ = 64
PROMPT = "a photo of a doctor"


def timed(run: Callable[[], object]) -> float:
    """How long a run takes, in seconds."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def best(run: Callable[[], object], times: int = 3) -> float:
    """The shortest of some runs, in seconds, after one to warm up."""
    run()
    return min(timed(run) for _ in range(times))


def rows(title: str, runs: dict[str, Callable[[], object]], times: int = 3) -> dict[str, float]:
    """Prints and returns seconds, the shortest of some runs after one to warm up, with ratios to the first.
    Runs take turns, since a machine's speed drifts."""
    print(f"\n{title}", flush=True)
    for run in runs.values():
        run()
    turns = [{name: timed(run) for name, run in runs.items()} for _ in range(times)]
    seconds = {name: min(turn[name] for turn in turns) for name in runs}
    for name, s in seconds.items():
        print(f"  {name:56}{s:8.2f} s {s / next(iter(seconds.values())):7.2f}x", flush=True)
    return seconds


class Plain:
    """The published way: one pipeline with every adapter loaded by diffusers, `set_adapters` before
    drawing."""

    def __init__(
        self, pipeline: DiffusionPipeline, chosen: list[Adapter], generator: PairedGenerator, steps: int
    ):
        logging.set_verbosity_error()  # each file would say that it holds nothing for the text encoders
        self.pipeline: Any = pipeline  # what all pipelines share doesn't say that they are called
        self.generator, self.steps = generator, steps
        self.weights = {a.name: a.weight for a in chosen}
        for a in chosen:
            pipeline.load_lora_weights(
                a.path.parent, weight_name=a.path.name, adapter_name=a.name.replace(" ", "_")
            )

    def draw(self, slots: list[int], name: str | None) -> list[Image.Image]:
        """Images of slots through one adapter, or none."""
        profile, g = self.generator.profile, self.generator
        if name is None:
            self.pipeline.disable_lora()
        else:
            self.pipeline.enable_lora()
            self.pipeline.set_adapters(name.replace(" ", "_"), self.weights[name])
        with torch.no_grad(), torch.autocast(g.device.type, g.dtype, enabled=g.mixed):
            noise, generators = zip(*(g.noise(0, i) for i in slots))
            return self.pipeline(
                [profile.worded(PROMPT)] * len(slots),
                negative_prompt=[profile.negative] * len(slots) if profile.negative else None,
                latents=torch.cat(noise).to(g.device, self.pipeline.unet.dtype),
                generator=list(generators),
                num_inference_steps=self.steps,
                guidance_scale=profile.guidance,
                height=profile.size,
                width=profile.size,
            ).images


def by_method(live: Live) -> dict[str, float]:
    """24 images with each method that needs nobody else, spread over what it draws with, against as many
    without one."""
    setting = by_default(live.profile, PROMPT, 0)

    def wanted(method: Method) -> list[Sample]:
        own = [source for source in method.sources if not source.is_baseline]
        return [Sample(i, own[i % len(own)]) for i in range(IMAGES)]

    offline = [m for m in live.registry.values() if "a language model" not in m.needs]
    runs: dict[str, Callable[[], object]] = {
        "no method": lambda: live.generator.draw(setting, through([()], IMAGES))
    }
    runs |= {m.name: lambda part=wanted(m): live.generator.draw(setting, part) for m in offline}
    return rows(f"drawing {IMAGES} images of {live.profile.size} px with each method", runs)


def difference(some: list[Image.Image], others: list[Image.Image]) -> float:
    """Mean absolute difference of pixels, of 255."""
    return float(
        np.mean([np.abs(np.asarray(a).astype(int) - np.asarray(b)).mean() for a, b in zip(some, others)])
    )


def spread(groups: list[Adapter]) -> list[Sample]:
    """Images that go through all adapters in turn."""
    return [Sample(i, Source((groups[i % len(groups)].name,))) for i in range(IMAGES)]


def drawing(
    generator: PairedGenerator, plain: Plain, groups: list[Adapter], steps: int, times: int = 3
) -> dict[str, float]:
    """24 images through twelve adapters: in mixed batches, with one adapter or none for all, by adapter,
    and as published."""
    wanted = spread(groups)
    drawn: dict[str, list] = {}

    def kept(name: str, run: Callable[[], list]) -> Callable[[], None]:
        def call() -> None:
            drawn[name] = run()

        return call

    def ours(part: list[Sample]) -> list:
        return generator.draw(Setting(PROMPT, 0, steps, generator.profile.guidance), part)

    by_group = [[s.slot for s in wanted if s.source.adapters == (a.name,)] for a in groups]
    seconds = rows(
        f"drawing {IMAGES} images of {generator.profile.size} px through {len(groups)} adapters, {steps}"
        " steps",
        {
            "mixed batch": kept("mixed", lambda: ours(wanted)),
            "no adapter": kept("baseline", lambda: ours(through([()], IMAGES))),
            "one adapter for the whole batch (PEFT)": lambda: plain.draw(
                [s.slot for s in wanted], groups[0].name
            ),
            "one pass per adapter (PEFT)": kept(
                "grouped", lambda: [plain.draw(part, a.name) for a, part in zip(groups, by_group)]
            ),
            "published way: set_adapters before each image": kept(
                "published",
                lambda: [image for s in wanted for image in plain.draw([s.slot], s.source.adapters[0])],
            ),
        },
        times,
    )
    grouped = dict(
        zip((i for part in by_group for i in part), (image for part in drawn["grouped"] for image in part))
    )
    print(
        f"  pixels differ from the published way by {difference(drawn['mixed'], drawn['published']):.3f} of"
        " 255 on average; one pass per adapter by"
        f" {difference([grouped[i] for i in range(IMAGES)], drawn['published']):.3f} (sums in"
        f" {str(generator.dtype).removeprefix('torch.')} depend on the batch); no adapter by"
        f" {difference(drawn['baseline'], drawn['published']):.3f}"
    )
    return seconds


def reading(pictures: list[Image.Image], device: str) -> dict[str, float]:
    """Finding and embedding the faces of 64 images of 512 px: in batches, and one call of MTCNN and one
    embedding a face."""
    pictures = [im.resize((512, 512), Image.Resampling.BICUBIC) for im in pictures]
    torch.manual_seed(0)
    backbone = Backbone(
        InceptionResnetV1().eval().to(device),
        160,
        0.1,
        deviation=(128.0, 128.0, 128.0),
        dtype=compute_dtype(device),
    )
    detector = Detector(device)
    naive: Any = MTCNN(keep_all=True, device=device, post_process=False)
    found: dict[str, list] = {}

    def batched() -> None:
        found["ours"] = detector.detect(pictures)
        backbone.embed(
            np.stack(
                [
                    crop(im, d.box, backbone.side, backbone.margin)
                    for im, ds in zip(pictures, found["ours"])
                    for d in ds
                ]
            )
        )

    def one_by_one() -> None:
        found["naive"] = []
        for image in pictures:
            boxes, scores = naive.detect(image)
            faces = [] if boxes is None else [b for b, s in zip(boxes, scores) if s > 0.9]
            found["naive"].append(faces)
            for box in faces:
                backbone.embed(crop(image, box, backbone.side, backbone.margin)[None])

    seconds = rows(
        f"finding and embedding the faces of {len(pictures)} images of 512 px (InceptionResnetV1)",
        {"in batches": batched, "MTCNN's defaults and one embedding a face, one image at a time": one_by_one},
    )
    same = sum(
        bool(a)
        and bool(b)
        and np.abs(np.array(a[0].box) - max(b, key=lambda x: (x[2] - x[0]) * (x[3] - x[1]))).max() < 40
        for a, b in zip(found["ours"], found["naive"])
    )
    print(f"  the same largest face (box within 40 px) in {same} of {len(pictures)}")
    return seconds


def importing() -> None:
    """Prints how long the science takes to import, beside numpy alone."""
    print("import of the science, of numpy alone")
    science = ", ".join(f"fairdemo.stats.{m}" for m in ("mix", "measure", "targets", "response"))
    for module in (science, "numpy"):
        code = (
            f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
        )
        runs = [
            subprocess.run([sys.executable, "-c", code], capture_output=True, check=True) for _ in range(3)
        ]
        print(f"  {module:96}{min(float(run.stdout) for run in runs):8.2f} s")


def bench(profile: str) -> None:
    """Prints tables: drawing through adapters, reading, the whole chain, imports."""
    live = Live(profile)
    generator, reader, own = live.generator, live.reader, live.profile
    groups = [a for a in live.adapters if len(a.cell) == 2]
    pipeline = pipelines.load_pipeline(own, live.device)
    pipelines.place(pipeline, live.device)
    plain = Plain(pipeline, groups, generator, own.steps)
    importing()
    drawing(generator, plain, groups, own.steps)
    by_method(live)
    wanted, setting = spread(groups), by_default(own, PROMPT, 0)
    seeds = range(0, READ, 16)
    pictures = [im for k in seeds for im in generator.draw(by_default(own, PROMPT, k), through([()], 16))]
    naive = MTCNN(keep_all=True, device=live.device, post_process=False)
    reading(pictures, live.device)
    rows(
        f"reading {READ} images of {own.size} px",
        {
            "FaceReader, detection and labels": lambda: reader.read(pictures),
            "MTCNN's defaults, one image at a time, detection alone": lambda: [
                naive.detect(im) for im in pictures
            ],
        },
    )
    rows(
        f"whole chain, {IMAGES} images",
        {
            "mixed batch and FaceReader": lambda: reader.read(generator.draw(setting, wanted)),
            "published way and MTCNN's defaults": lambda: [
                naive.detect(im) for s in wanted for im in plain.draw([s.slot], s.source.adapters[0])
            ],
        },
    )


def full_size_unet() -> UNet2DConditionModel:
    """SDXL's U-Net as published, with random weights."""
    # Any: diffusers takes one number a block, whatever its types say
    depths: dict[str, Any] = {"transformer_layers_per_block": [1, 2, 10], "attention_head_dim": [5, 10, 20]}
    return UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
        **depths,
    )


def full_size(device: str, dtype: torch.dtype) -> StableDiffusionXLPipeline:
    """SDXL's full-size configuration with random weights."""
    with torch.device(device):
        unet = full_size_unet()
        blocks: dict[str, Any] = {
            "block_out_channels": (128, 256, 512, 512),
            "down_block_types": ("DownEncoderBlock2D",) * 4,
            "up_block_types": ("UpDecoderBlock2D",) * 4,
        }
        vae = AutoencoderKL(
            layers_per_block=2,
            latent_channels=4,
            sample_size=1024,
            scaling_factor=0.13025,
            force_upcast=False,
            **blocks,
        )
        marks: dict[str, Any] = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
        one = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408,
                hidden_size=768,
                intermediate_size=3072,
                num_hidden_layers=12,
                num_attention_heads=12,
                projection_dim=768,
                **marks,
            )
        )
        two = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=49408,
                hidden_size=1280,
                intermediate_size=5120,
                num_hidden_layers=32,
                num_attention_heads=20,
                projection_dim=1280,
                hidden_act="gelu",
                **marks,
            )
        )
    tokenizer = CLIPTokenizer.from_pretrained(
        SHIPPED / "assets" / "embedded" / "tokenizer", local_files_only=True
    )
    scheduler: Any = EulerDiscreteScheduler(  # the pipeline's types want a name of one
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=one,
        text_encoder_2=two,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=scheduler,
        add_watermarker=False,
    ).to(device, dtype)


def random_adapters(pipeline: DiffusionPipeline, folder: Path, n: int = 12) -> list[Adapter]:
    """Adapters of rank 4 on a U-Net's attention with random weights, as files."""
    layers = {
        name: m for name, m in pipeline.unet.named_modules() if isinstance(m, nn.Linear) and ".attn" in name
    }
    for k in range(n):
        state = {
            f"{name}.lora_{half}.weight": torch.randn(*shape) / shape[1] ** 0.5
            for name, m in layers.items()
            for half, shape in (("A", (4, m.in_features)), ("B", (m.out_features, 4)))
        }
        pipeline.save_lora_weights(folder, unet_lora_layers=state, weight_name=f"{k}.safetensors")
    about = {"base": "bench", "cell": (), "weight": 1.0, "license": "", "source": "", "home": folder}
    return [Adapter(name=f"adapter {k}", file=f"{k}.safetensors", **about) for k in range(n)]


def real(build: Callable[[], StableDiffusionXLPipeline], profile: Profile, pairs: int = 4) -> None:
    """Prints the numbers of docs/performance.md for a pipeline that is built twice alike, with twelve
    random adapters of rank 4 on its attention: throughput of the mixed batch, peak memory, seconds a pair
    at the profile's steps and at 4."""
    pipeline, plain = build(), build()
    for p in (pipeline, plain):
        p.set_progress_bar_config(disable=True)
    device = pipeline.device
    with tempfile.TemporaryDirectory() as folder:
        chosen = random_adapters(pipeline, Path(folder))
        generator = PairedGenerator(pipeline, routing.attach(pipeline, chosen).to(device), profile)
        # Learns what an image takes.
        generator.draw(Setting(PROMPT, 0, 2, profile.guidance), spread(chosen)[:2])
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for steps, guidance in ((profile.steps, profile.guidance), (4, 1.0)):
            twins = [twin for s in spread(chosen)[:pairs] for twin in (Sample(s.slot), s)]
            setting = Setting(PROMPT, 0, steps, guidance)
            seconds = best(lambda setting=setting, twins=twins: generator.draw(setting, twins), 2)
            told = f"{steps} steps, guidance {guidance:g}: {seconds / pairs:.2f} s a pair"
            print(f"{told}, {pairs} pairs at once", flush=True)
        peak = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else float("nan")
        print(f"peak memory {peak:.1f} GB; one image takes {generator.image_bytes / 1e9:.2f} GB", flush=True)
        published = Plain(plain, chosen, generator, profile.steps)
        times = drawing(generator, published, chosen, profile.steps, times=1)
    mixed, alone = times["mixed batch"], times["no adapter"]
    rate = times["published way: set_adapters before each image"] / mixed
    print(
        f"throughput of the mixed batch: {alone / mixed:.2f} of no adapter, {rate:.2f} times the"
        " published way"
    )


def bench_full_size() -> None:
    """SDXL in full size with random weights, bfloat16, 1024 px; wants a GPU with 24 GB."""
    device = default_device()
    if device == "cpu":
        raise ValueError("bench --full-size needs a GPU with 24 GB or more; there is none here")
    print(torch.cuda.get_device_name() if device == "cuda" else device)

    def build() -> StableDiffusionXLPipeline:
        torch.manual_seed(0)
        return full_size(device, torch.bfloat16)

    real(build, profiles.profile("sdxl").but(dtype="bfloat16", suffix=""))
