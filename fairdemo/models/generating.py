"""PairedGenerator: pairs of images, baseline and debiased, from the same initial noise, in mixed batches."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import DiffusionPipeline
from PIL import Image

from fairdemo.models import hub
from fairdemo.models.crisp import CrispDecoder, load_crisp
from fairdemo.models.gpu import SILENT, Watch
from fairdemo.models.precision import compute_dtype
from fairdemo.models.profiles import Profile
from fairdemo.models.routing import Router
from fairdemo.models.sampling import Cancelled, Sample, Setting, Shot
from fairdemo.models.semantic import Directions, Guided, guided
from fairdemo.pairs import FLAT
from fairdemo.stats.mix import Source

ROOM = 0.85  # of a GPU's free memory that a batch may take
FROM_NOISE = 2**40  # how far the seeds of edits lie from those of noise
Text = dict[str, torch.Tensor | None]  # a pipeline's arguments for the prompt, rows (n, ...)
# Changes one row's embeddings; what it leaves to chance comes from the generator, which is the image's own.
Edit = Callable[[Text, torch.Generator], Text]
# (prompt, cell) -> the prompt as a source of that cell sees it
Fit = Callable[["PairedGenerator"], Edit]  # what makes an edit for a model
Writer = Callable[[str, tuple[str, ...]], str]
Guide = Callable[[Sequence[str]], Directions]  # what leads a sample of a cell
Decoded = TypeVar("Decoded")  # what latents are decoded to
EMBEDDINGS = (
    "prompt_embeds",
    "negative_prompt_embeds",
    "pooled_prompt_embeds",
    "negative_pooled_prompt_embeds",
)


def cut_words(pipeline: DiffusionPipeline, prompt: str) -> str:
    """What the text encoders don't see of a prompt longer than their 77 tokens; empty if all is seen."""
    tokenizer = pipeline.tokenizer
    ids = tokenizer(
        pipeline.maybe_convert_prompt(prompt, tokenizer), truncation=False, add_special_tokens=False
    ).input_ids
    return tokenizer.decode(ids[tokenizer.model_max_length - 2 :]).strip()


def _shows_nothing(images: torch.Tensor) -> torch.Tensor:
    """Which images (n, 3, h, w) in -1 to 1 aren't all numbers, or are of one colour; bool (n, 1, 1, 1)."""
    by_channel = images.flatten(2)
    flat = (by_channel.amax(2) - by_channel.amin(2)).amax(1) <= 2 * FLAT / 255
    return (flat | ~by_channel.isfinite().all(2).all(1))[:, None, None, None]


def image_seed(seed: int, slot: int) -> int:
    """The seed of one image, from its request's seed and its slot."""
    return seed * 1_000_003 + slot


class Memory:
    """Free memory of a GPU and what the images of a batch took of it, in bytes; nothing is known of other
    devices (`free` is None)."""

    def __init__(self, device: torch.device):
        self.device, self.start = device, 0

    def free(self) -> float | None:
        """Bytes that are free, with what torch keeps for itself; None where nothing is known."""
        if self.device.type != "cuda":
            return None
        kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return torch.cuda.mem_get_info(self.device)[0] + kept

    def begin(self) -> None:
        """Begins to watch a batch."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.start = torch.cuda.memory_allocated(self.device)

    def taken(self) -> float:
        """Bytes that the batch took at most."""
        return (
            torch.cuda.max_memory_allocated(self.device) - self.start if self.device.type == "cuda" else 0.0
        )


def fitting(n: int, free: float | None, image: float, most: int) -> int:
    """How many of n images to draw in one call: at most `most`, and what fits into `free` bytes (None:
    unknown) if one takes `image` bytes; before that is known, two, to learn it from."""
    if free is None:
        return min(n, most)
    return max(1, min(n, most, int(ROOM * free / image) if image else 2))


class PairedGenerator:
    """Draws with one pipeline and one router; one run at a time. `pipeline` is on its device already."""

    def __init__(
        self, pipeline: DiffusionPipeline, router: Router, profile: Profile, device: str | None = None
    ):
        self.pipeline, self.router, self.profile = pipeline, router, profile
        self.device = torch.device(device) if device else pipeline.device
        self.dtype = compute_dtype(self.device.type) if profile.dtype == "mixed" else pipeline.unet.dtype
        self.mixed = pipeline.unet.dtype == torch.float32 != self.dtype
        self.lock = threading.Lock()
        self.memory = Memory(self.device)
        self.image_bytes = 0.0  # what one image was seen to take
        self.most = 4 * profile.batch  # images in a call; halved when memory runs out
        # What sources may ask for, by name.
        self.writers: dict[str, Writer] = {}
        self.guides: dict[str, Guide] = {}
        self.edits: dict[str, Edit] = {}
        self.fits: dict[str, Fit] = {}  # edits that are fitted to this model once somebody asks for them
        # A GPU decodes while it denoises what comes next.
        self.decoder = ThreadPoolExecutor(1, "decode") if self.device.type == "cuda" else None
        if profile.compile:
            pipeline.unet.compile_repeated_blocks(backend=profile.compile)

    def noise(self, seed: int, slot: int) -> tuple[torch.Tensor, torch.Generator]:
        """The initial latent of a slot, and where the sampler gets the noise of its steps from: depends on
        the seed and the slot alone, drawn on the CPU on every machine."""
        generator = torch.Generator().manual_seed(image_seed(seed, slot))
        side = self.profile.size // self.pipeline.vae_scale_factor
        return (
            torch.randn(1, self.pipeline.unet.config.in_channels, side, side, generator=generator),
            generator,
        )

    def draw(self, setting: Setting, wanted: Sequence[Sample], watch: Watch = SILENT) -> list[Image.Image]:
        """An image for each sample, in mixed batches as large as memory allows. ValueError if it doesn't
        suffice for one."""
        return self._drawn(self.decode, [(setting, sample) for sample in wanted], watch)

    def draw_twofold(
        self, shots: Sequence[Shot], watch: Watch = SILENT
    ) -> list[tuple[Image.Image, Image.Image]]:
        """Each shot's image for readers, as `draw` gives it, and the one to show: of twice the size where
        the profile has a crisp decoder, else the same. Shots may be of several visitors, whose prompts and
        seeds differ; ValueError unless steps and guidance are all the same."""
        return self._drawn(self.decode_twofold, shots, watch)

    def _drawn(
        self,
        decode: Callable[[torch.Tensor], list[Decoded]],
        shots: Sequence[Shot],
        watch: Watch,
    ) -> list[Decoded]:
        """What `decode` makes of the latents of each shot."""
        drawn: list[tuple[torch.Tensor, Future]] = []  # latents that are decoded beside the drawing
        images: list[Decoded] = []
        done = 0
        with self.lock:
            while done < len(shots):
                size = fitting(len(shots) - done, self.memory.free(), self.image_bytes, self.most)
                part = shots[done : done + size]
                self.memory.begin()
                try:
                    latents = self.denoised(part, watch.part(done, len(part), len(shots)))
                    if self.decoder is None:
                        images += decode(latents)
                    else:
                        drawn.append((latents, self.decoder.submit(decode, latents)))
                except Exception as error:
                    self._make_room(error, len(part))
                    continue
                self.image_bytes = max(self.image_bytes, self.memory.taken() / len(part))
                done += len(part)
            return images + [
                image for latents, decoding in drawn for image in self._images(decode, latents, decoding)
            ]

    def _make_room(self, error: Exception, images: int) -> None:
        """Halves what is drawn in a call that ran out of memory; raises whatever else went wrong."""
        if not hub.out_of_memory(error):
            raise error
        if images == 1:
            what = f"drawing one image of {self.profile.size} px with profile {self.profile.name!r}"
            raise ValueError(hub.explain(error, what)) from None
        self.most = images // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _images(
        self, decode: Callable[[torch.Tensor], list[Decoded]], latents: torch.Tensor, decoding: Future
    ) -> list[Decoded]:
        """What was decoded beside the drawing; decoded again, now that nothing else needs memory, if that
        ran out."""
        try:
            return decoding.result()
        except Exception as error:
            if not hub.out_of_memory(error):
                raise
        return decode(latents)

    def encode(self, prompt: str, sources: Sequence[Source], guidance: float) -> Text:
        """The pipeline's arguments for each source's text of a prompt."""
        return self.encode_each([prompt] * len(sources), sources, guidance, range(len(sources)))

    def encode_each(
        self, prompts: Sequence[str], sources: Sequence[Source], guidance: float, seeds: Sequence[int]
    ) -> Text:
        """The pipeline's arguments for each prompt as its source sees it. Samples with the same words and
        text adapters share one encoding; edits come after it, since they may leave something to chance, for
        which each sample has a seed of its own."""
        keys = [self._text_key(*one) for one in zip(prompts, sources)]
        once = list(dict.fromkeys(keys))
        with (
            self.router.routed([adapters for _, adapters in once])
            if any(k[1] for k in once)
            else nullcontext()
        ):
            encoded = self.pipeline.encode_prompt(
                prompt=[words for words, _ in once],
                device=self.device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=guidance > 1,
                negative_prompt=[self.profile.negative] * len(once) if self.profile.negative else None,
            )
        index = [once.index(key) for key in keys]
        text: Text = {
            name: t if t is None or len(once) == len(keys) else t[index]
            for name, t in zip(EMBEDDINGS, encoded)
        }
        edits = [(source.edits, seed) for source, seed in zip(sources, seeds)]
        return self._edited(text, edits) if any(names for names, _ in edits) else text

    def _text_key(self, prompt: str, source: Source) -> tuple[str, tuple[str, ...]]:
        """What the encoding of a source's text follows from: the words, and the adapters that change how they
        are read."""
        words = self.router.before(source.adapters) + self.profile.worded(self.written(prompt, source))
        return words, source.adapters if self.router.reads_text(source.adapters) else ()

    def written(self, prompt: str, source: Source) -> str:
        """The prompt as a source sees it; ValueError names a writer that is unknown."""
        if not source.writer:
            return prompt
        if source.writer not in self.writers:
            known = ", ".join(self.writers) or "none"
            raise ValueError(f"writer {source.writer!r} is unknown; there are {known}")
        return self.writers[source.writer](prompt, source.cell)

    def _edited(self, text: Text, edits: list[tuple[tuple[str, ...], int]]) -> Text:
        """Rows (n, ...) of a text, each changed by its edits with its seed; ValueError names one that is
        unknown."""
        rows = []
        for i, (names, seed) in enumerate(edits):
            row: Text = {key: None if t is None else t[i : i + 1] for key, t in text.items()}
            for name in names:
                row = self._edit(name)(row, torch.Generator().manual_seed(seed + FROM_NOISE))
            rows.append(row)
        return {key: None if t is None else torch.cat([row[key] for row in rows]) for key, t in text.items()}

    def _edit(self, name: str) -> Edit:
        """An edit by name, fitted on first use; ValueError if it is unknown."""
        if name not in self.edits:
            if name not in self.fits:
                known = ", ".join((*self.edits, *self.fits)) or "none"
                raise ValueError(f"edit {name!r} is unknown; there are {known}")
            self.edits[name] = self.fits[name](self)
        return self.edits[name]

    @contextmanager
    def _led(self, sources: Sequence[Source], setting: Setting) -> Iterator[None]:
        """Within it, every sample goes through its adapters, and along its guide's directions."""
        names = [source.adapters for source in sources]
        places = [i for i, source in enumerate(sources) if source.guide]
        if not places:
            with self.router.routed(names):
                yield
            return
        if unknown := [sources[i].guide for i in places if sources[i].guide not in self.guides]:
            raise ValueError(f"guide {unknown[0]!r} is unknown; there are {', '.join(self.guides) or 'none'}")
        own = [self.guides[sources[i].guide](sources[i].cell) for i in places]
        spoken = [word for one in own for word in one.words]
        text = self._said(spoken)
        one = Guided(places, own, text, len(sources), setting.guidance)
        rows = names * (1 + (setting.guidance > 1)) + [()] * len(spoken)
        with self.router.routed(rows), guided(self.pipeline.unet, one, setting.steps):
            yield

    def _said(self, words: Sequence[str]) -> Text:
        """The embeddings of words alone, as the pipeline has them without guidance, each encoded once."""
        once = list(dict.fromkeys(words))
        encoded = self.pipeline.encode_prompt(
            prompt=once,
            device=self.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
        index = [once.index(word) for word in words]
        return {k: t if t is None else t[index] for k, t in zip(EMBEDDINGS, encoded)}

    def denoise(self, setting: Setting, wanted: Sequence[Sample], watch: Watch = SILENT) -> torch.Tensor:
        """One mixed batch of latents (n, c, h, w)."""
        return self.denoised([(setting, sample) for sample in wanted], watch)

    @torch.no_grad()
    def denoised(self, shots: Sequence[Shot], watch: Watch = SILENT) -> torch.Tensor:
        """One mixed batch of latents (n, c, h, w); ValueError unless steps and guidance are all the same."""
        settings, wanted = zip(*shots)
        setting = settings[0]
        if len({(one.steps, one.guidance) for one in settings}) > 1:
            raise ValueError("shots of one batch have the same steps and guidance")

        def after_step(_: Any, step: int, __: Any, tensors: dict) -> dict:
            if watch.cancel is not None and watch.cancel.is_set():
                raise Cancelled
            watch.progress((step + 1) / setting.steps)
            return tensors

        pipe: Any = self.pipeline  # what all pipelines share doesn't say that they are called
        sources = [sample.source for sample in wanted]
        noise, generators = zip(*(self.noise(one.seed, sample.slot) for one, sample in shots))
        with torch.autocast(self.device.type, self.dtype, enabled=self.mixed):
            seeds = [image_seed(one.seed, sample.slot) for one, sample in shots]
            text = self.encode_each([one.prompt for one in settings], sources, setting.guidance, seeds)
            with self._led(sources, setting):
                latents = pipe(
                    **text,
                    latents=torch.cat(noise).to(self.device, pipe.unet.dtype),
                    generator=list(generators),
                    height=self.profile.size,
                    width=self.profile.size,
                    num_inference_steps=setting.steps,
                    guidance_scale=setting.guidance,
                    callback_on_step_end=after_step,
                    output_type="latent",
                ).images
        if self.decoder is not None:
            # The decoder's stream knows nothing of this one.
            torch.get_device_module(self.device).synchronize()
        return latents

    def unscaled(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents as the autoencoder knows them, from the unit scale that the sampler works in."""
        vae = self.pipeline.vae
        latents = latents.to(vae.dtype) / vae.config.scaling_factor
        if getattr(vae.config, "latents_mean", None) is None:
            return latents
        mean, deviation = (
            torch.tensor(v).view(1, -1, 1, 1).to(latents)
            for v in (vae.config.latents_mean, vae.config.latents_std)
        )
        return latents * deviation + mean

    @cached_property
    def crisp(self) -> CrispDecoder | None:
        """The profile's decoder of twice the size."""
        path = self.profile.source("crisp") if self.profile.crisp else None
        return None if path is None else load_crisp(Path(path)).to(self.device, self.pipeline.vae.dtype)

    def decode(self, latents: torch.Tensor) -> list[Image.Image]:
        """Images of latents (n, c, h, w)."""
        return self._decoded(latents, None)[0]

    def decode_twofold(self, latents: torch.Tensor) -> list[tuple[Image.Image, Image.Image]]:
        """Images of latents (n, c, h, w), each to read and to show."""
        sizes = self._decoded(latents, self.crisp)
        return list(zip(sizes[0], sizes[-1]))

    @torch.no_grad()
    def _decoded(self, latents: torch.Tensor, crisp: CrispDecoder | None) -> list[list[Image.Image]]:
        """Images of latents (n, c, h, w), and those of a crisp decoder; a few at a time where they are
        large, since decoding takes more memory than drawing."""
        vae, module = self.pipeline.vae, torch.get_device_module(self.device)
        parts: list[list[torch.Tensor]] = []
        stream = module.stream(module.Stream(self.device)) if self.decoder is not None else nullcontext()
        with torch.autocast(self.device.type, self.dtype, enabled=self.mixed), stream:
            for z in self.unscaled(latents).split(max(1, 4 * 512**2 // self.profile.size**2)):
                images = vae.decode(z).sample
                sizes = [images] if crisp is None else [images, crisp(z, images)]
                # Black at both sizes: what a broken model leaves of an image must not be counted.
                failed = _shows_nothing(images)
                parts.append([torch.where(failed, -1.0, size).cpu() for size in sizes])
        return [self.pipeline.image_processor.postprocess(torch.cat(pixels)) for pixels in zip(*parts)]
