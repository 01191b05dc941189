import pytest

from fairdemo.stats import prompts, wording


@pytest.mark.parametrize(
    "prompt, named",
    [
        ("a photo of a doctor", {}),
        ("a photo of an old Black man", {"race": "Black", "gender": "Male", "age": "old"}),
        (
            "a young Middle Eastern woman, a nurse",
            {"race": "Middle Eastern", "gender": "Female", "age": "young"},
        ),
        ("a middle-aged teacher", {"age": "middle"}),
        ("a man and a woman", {}),
        ("a Latina lawyer", {"race": "Latinx"}),
        ("a portrait of the human condition", {}),
    ],
)
def test_what_a_prompt_names(prompt, named):
    assert prompts.named(prompt) == named


@pytest.mark.parametrize(
    "prompt, profession, attribute",
    [
        ("a photo of two Nurses", "nurse", None),
        ("a strong software developer, oil painting", "software developer", "strong"),
        ("a doctor and a nurse", None, None),
        ("a photo of a poor person", None, "poor"),
        ("an armstrong chair", None, None),
    ],
)
def test_the_profession_and_attribute_of_a_prompt(prompt, profession, attribute):
    assert prompts.profession(prompt) == profession and prompts.attribute(prompt) == attribute


def test_lists_have_the_published_lengths():
    assert len(set(prompts.PROFESSIONS)) == 32 and len(set(prompts.ATTRIBUTES)) == 8


@pytest.mark.parametrize(
    "prompt, message", [("", "empty"), ("   \n", "empty"), ("x" * 5000, "5,000 characters; at most 1,000")]
)
def test_bad_prompts(prompt, message):
    with pytest.raises(ValueError, match=message):
        prompts.check(prompt)


@pytest.mark.parametrize(
    "prompt, found",
    [
        ("a photo of a (doctor:1.3)", ["(doctor:1.3)"]),
        ("a photo of a ((doctor))", ["((doctor))"]),
        ("a photo of a [nurse|doctor]", ["[nurse|doctor]"]),
        ("a photo of a {nurse|doctor}, smiling", ["{nurse|doctor}"]),
        ("a photo of a doctor+++", ["doctor+++"]),
        ("a doctor AND a nurse BREAK a hospital", ["AND", "BREAK"]),
        ("a doctor <lora:elders:0.8>", ["<lora:elders:0.8>"]),
        ("a doctor, embedding:EasyNegative", ["embedding:EasyNegative"]),
        ("a photo of a __profession__", ["__profession__"]),
        ("a doctor --no woman", ["--no woman"]),
        ("a doctor\nNegative prompt: man\nSteps: 20", ["Negative prompt: man\nSteps: 20"]),
        ("a photo of a doctor (a surgeon) in a white coat - at work, 35mm f/1.8", []),
        ("a well-known doctor [sic] and {curly}, C++", []),
    ],
)
def test_syntax_of_other_programs_is_found(prompt, found):
    assert prompts.find_syntax(prompt) == found


@pytest.mark.parametrize(
    "prompt, named",
    [
        ("a photo of a doctor, not a man", {}),
        ("a doctor without a woman", {}),
        ("a doctor --no woman", {}),
        ("a doctor\nNegative prompt: man", {}),
        ("a Black doctor, not an old man, in a hospital", {"race": "Black"}),
        ("a woman, not a man", {"gender": "Female"}),
        ("not only a man", {"gender": "Male"}),
        ("a doctor with no beard, a young man", {"gender": "Male", "age": "young"}),
    ],
)
def test_what_is_denied_isnt_named(prompt, named):
    assert prompts.named(prompt) == named and len(prompts.blank_denied(prompt)) == len(prompt)


@pytest.mark.parametrize(
    "prompt, wanted",
    [
        ("a photo of a female doctor", "a photo of an old Black female doctor"),
        ("a photo of a Black doctor", "a photo of an old Black female doctor"),
        ("a young nurse", "a young Black female nurse"),
        ("a pregnant teacher", "an old Black pregnant teacher"),
        ("a friendly female doctor", "a friendly old Black female doctor"),
        ("a Middle Eastern pilot", "an old Middle Eastern female pilot"),
        ("a photo of a doctor, not a man", "a photo of an old Black female doctor, not a man"),
        ("a child dressed as a doctor", "a Black female child dressed as a doctor"),
        ("a statue of a judge", None),
        ("a bronze statue of a famous judge", None),
        ("a doll dressed as a nurse", None),
        ("a drawing of a cat dressed as a doctor", None),
        ("a mannequin in a shop window", None),
        ("a robot", None),
    ],
)
def test_words_stand_in_english_order_and_figures_are_nobody(prompt, wanted):
    assert wording.written(prompt, ("Black", "Female", "old")) == (wanted or prompt)
    assert wanted or wording.read(prompt).place is None
