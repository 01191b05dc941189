"""Which words a model knows, and which prompts are about somebody in particular."""

import pytest
from transformers import CLIPTextModel, CLIPTokenizer

from fairdemo.places import SHIPPED
from fairdemo.stats import prompts
from fairdemo.world import corpus
from tests.conftest import asked

PARTICULAR = (
    *("Marie Curie", "a photo of Barack Obama", "a portrait of Frida Kahlo", "Ada Lovelace at her desk"),
    *("a 10th-century Viking", "a samurai", "a medieval knight", "an ancient Roman senator", "a pharaoh"),
    *("Queen Victoria", "President Lincoln giving a speech", "a photo of Pope Francis", "a Victorian lady"),
    *("a soldier in 1943", "a photo of Martin Luther King", "the Founding Fathers", "a geisha", "a cowboy"),
    *("Vincent van Gogh", "a Nazi officer", "a photo of the king", "Nelson Mandela", "a biblical prophet"),
)
ANYBODY = (
    *("a photo of a doctor", "a photo of a CEO", "a Black woman, a doctor", "a Middle Eastern pilot"),
    *("an old Latin American teacher", "A photo of a nurse", "Portrait of a judge", "a US Army soldier"),
    *("two engineers talking", "an African American nurse", "a young Asian man", "a wealthy person"),
    *("Photo of a Middle Eastern woman", "a barista in New York", "a police officer", "a call center agent"),
    *("a software developer, ultra quality", "a strong person", "someone kind", "a White male farmer"),
)


@pytest.mark.parametrize("prompt", PARTICULAR)
def test_a_prompt_about_somebody_in_particular(prompt):
    assert prompts.particular(prompt)


@pytest.mark.parametrize("prompt", ANYBODY)
def test_a_prompt_about_anybody(prompt):
    assert prompts.particular(prompt) is None


def test_the_shipped_words_are_those_of_the_captions_and_the_encoder_hears_them(live):
    shipped = (SHIPPED / "assets" / "embedded" / "words.txt").read_text().split()
    assert shipped == corpus.words() and live.known == set(shipped)
    tokenizer = CLIPTokenizer.from_pretrained(SHIPPED / "assets" / "embedded" / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(SHIPPED / "assets" / "embedded" / "text_encoder")
    table = encoder.get_input_embeddings().weight

    def heard(word: str) -> bool:
        ids = tokenizer(word, add_special_tokens=False).input_ids
        return all(table[i].abs().sum() > 0 for i in ids)

    assert [word for word in shipped if not heard(word)] == []
    assert not any(map(heard, ("barista", "Latina", "talking", "engineers")))


@pytest.mark.parametrize(
    "prompt, lost",
    [
        ("a photo of a doctor", []),
        ("a photo of a barista", ["barista"]),
        ("a Latina doctor", ["Latina"]),
        ("two engineers talking, two of them", ["two", "engineers", "talking", "them"]),
        ("A Middle-Aged Hispanic nurse", []),
    ],
)
def test_unknown_words_are_named_in_order_and_once(live, prompt, lost):
    assert prompts.unknown(prompt, live.known) == lost
    assert prompts.unknown(prompt, None) == []


def test_what_the_model_never_saw_is_not_named(studio):
    """The mix goes on steering race for a "Latina" that the embedded model doesn't know."""
    never = studio.plan(asked("a photo of a Latina, a doctor", "uniform", 8, 1))
    assert "race" in never.comparison.target and "Latina" in never.comparison.notices[0]
    known = studio.plan(asked("a photo of a Hispanic woman, a doctor", "uniform", 8, 1))
    assert known.comparison.target == {} and not any("know" in n for n in known.comparison.notices)


def test_a_notice_warns_of_evening_somebody_out(studio):
    notices = studio.plan(asked("Marie Curie", "uniform", 4, 1)).comparison.notices
    assert any("Marie Curie" in n and "may be wrong" in n for n in notices)
