"""Who works in a profession in the United States: shares of women, Black, Asian and Hispanic workers.

Source: U.S. Bureau of Labor Statistics, Current Population Survey, annual averages 2022, table 11,
"Employed persons by detailed occupation, sex, race, and Hispanic or Latino ethnicity", in percent of all
employed in the occupation. Soldiers are not in the survey, and for legislators (politicians) it prints no
shares since there are too few. Hispanic workers may be of any race and are then counted in both."""

from dataclasses import dataclass

from fairdemo.stats.targets import Preset, Target, parse

SOURCE = "U.S. Bureau of Labor Statistics, Current Population Survey 2022, table 11"


@dataclass(frozen=True)
class Occupation:
    """An occupation's name in the survey and its percentages of women, Black, Asian and Hispanic workers."""

    name: str
    women: float
    black: float
    asian: float
    hispanic: float


OCCUPATIONS = {
    "accountant": Occupation("Accountants and auditors", 58.8, 9.7, 11.7, 9.7),
    "artist": Occupation("Artists and related workers", 49.2, 6.1, 5.7, 14.5),
    "baker": Occupation("Bakers", 63.6, 10.0, 8.5, 31.7),
    "call center agent": Occupation("Customer service representatives", 64.8, 17.6, 5.5, 19.7),
    "CEO": Occupation("Chief executives", 29.2, 5.9, 6.7, 6.8),
    "chef": Occupation("Chefs and head cooks", 26.9, 15.8, 15.7, 22.7),
    "construction worker": Occupation("Construction laborers", 4.9, 8.4, 1.9, 50.7),
    "dentist": Occupation("Dentists", 36.6, 7.7, 14.0, 7.1),
    "doctor": Occupation(
        "Other physicians (all but emergency physicians and radiologists)", 43.8, 8.4, 22.4, 7.2
    ),
    "electrician": Occupation("Electricians", 2.2, 7.3, 2.0, 24.9),
    "engineer": Occupation("Architecture and engineering occupations", 16.1, 6.6, 13.9, 10.3),
    "farmer": Occupation("Farmers, ranchers, and other agricultural managers", 23.9, 1.5, 0.6, 6.6),
    "firefighter": Occupation("Firefighters", 6.2, 9.9, 1.5, 15.2),
    "flight attendant": Occupation("Flight attendants", 69.9, 11.1, 6.5, 12.5),
    "gardener": Occupation("Landscaping and groundskeeping workers", 7.2, 7.1, 2.3, 46.5),
    "hairdresser": Occupation("Hairdressers, hairstylists, and cosmetologists", 93.1, 13.7, 6.0, 18.8),
    "housekeeper": Occupation("Maids and housekeeping cleaners", 88.1, 15.7, 4.3, 51.0),
    "judge": Occupation("Judges, magistrates, and other judicial workers", 56.2, 12.4, 6.1, 3.3),
    "lawyer": Occupation("Lawyers", 38.5, 6.3, 3.8, 6.5),
    "librarian": Occupation("Librarians and media collections specialists", 82.2, 4.3, 5.1, 8.0),
    "nurse": Occupation("Registered nurses", 87.9, 14.5, 8.9, 8.1),
    "pharmacist": Occupation("Pharmacists", 59.6, 10.6, 18.7, 6.9),
    "pilot": Occupation("Aircraft pilots and flight engineers", 9.2, 2.6, 1.6, 9.7),
    "police officer": Occupation("Police officers", 12.7, 16.7, 2.5, 13.1),
    "professor": Occupation("Postsecondary teachers", 48.4, 7.5, 10.8, 8.0),
    "scientist": Occupation("Life, physical, and social science occupations", 48.2, 6.1, 17.1, 8.2),
    "singer": Occupation("Musicians and singers", 25.7, 13.6, 6.6, 8.6),
    "software developer": Occupation("Software developers", 21.5, 5.7, 36.4, 5.7),
    "teacher": Occupation("Elementary and middle school teachers", 79.7, 11.1, 3.9, 11.2),
    "waiter": Occupation("Waiters and waitresses", 68.2, 9.7, 8.3, 24.5),
}
# The survey counts Indian workers as Asian and Middle Eastern ones as White; they are taken apart as in the
# whole population (see `targets.PRESETS["us"]`).
_INDIAN_OF_ASIAN = 4.4 / (4.4 + 15.2)
_MIDDLE_EASTERN_OF_WHITE = 3.5 / (3.5 + 188.2)


def wished(text: str, profession: str | None) -> Target:
    """A target as people write it (`targets.parse`), or "workforce": that of the profession which the
    prompt names. ValueError says what is wrong."""
    return workforce(profession).target if text == "workforce" else parse(text)


def workforce(profession: str | None) -> Preset:
    """The US workforce of a profession as a target; ValueError if the prompt names none, or one that the
    survey has no shares for."""
    if profession not in OCCUPATIONS:
        raise ValueError(
            "target 'workforce' needs a profession with a US labour statistic in the prompt, got"
            f" {profession or 'none'}; there are {len(OCCUPATIONS)}: {', '.join(OCCUPATIONS)}"
        )
    o = OCCUPATIONS[profession]
    rest = 100 - o.black - o.asian - o.hispanic
    races = {
        "Asian": o.asian * (1 - _INDIAN_OF_ASIAN),
        "Black": o.black,
        "Indian": o.asian * _INDIAN_OF_ASIAN,
        "Latinx": o.hispanic,
        "Middle Eastern": rest * _MIDDLE_EASTERN_OF_WHITE,
        "White": rest * (1 - _MIDDLE_EASTERN_OF_WHITE),
    }
    return Preset(
        f"US workforce: {profession}",
        {
            "race": {r: v / 100 for r, v in races.items()},
            "gender": {"Female": o.women / 100, "Male": 1 - o.women / 100},
        },
        f"{SOURCE}: {o.name}",
        "White is whoever is not counted as Black, Asian or Hispanic. Indian and Middle Eastern workers are"
        " taken out of Asian and White in the proportion of the whole US population, since the survey doesn't"
        " ask for them.",
    )
