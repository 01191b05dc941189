import pytest

from fairdemo.stats import prompts


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
