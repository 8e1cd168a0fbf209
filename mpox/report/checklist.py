"""Items of reporting guidelines and where the page answers them; those that only the study's people can answer.

TRIPOD+AI: Collins et al., BMJ 2024;385:e078378 (numbers are its items). CLAIM: the 2024 update, Tejani et al.,
Radiology: Artificial Intelligence 2024;6(4):e240300. CLEAR Derm: Daneshjou et al., JAMA Dermatology 2022;158(1):90-96.
Topics are in our words; the guidelines' own text is what counts.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """A topic, the guidelines that ask for it, the page's section that answers it (None: people must), and a note."""

    topic: str
    guidelines: str
    section: str | None
    note: str = ""


ITEMS = (
    Item(
        "Partition of the data, and the level at which parts are disjoint", "TRIPOD+AI 12a, CLAIM, CLEAR Derm", "photos"
    ),
    Item("Flow of photos, and numbers in each class and part", "TRIPOD+AI 20a, 21, CLAIM", "photos"),
    Item("Class imbalance", "TRIPOD+AI 13", "configuration", "the option balance"),
    Item("Preprocessing and augmentation", "TRIPOD+AI 7, CLAIM, CLEAR Derm", "configuration"),
    Item("Model, initial weights, training, software", "TRIPOD+AI 12c, 22, CLAIM, CLEAR Derm", "configuration"),
    Item("How the model was selected", "TRIPOD+AI 12c, CLAIM", "models"),
    Item("Measures of performance, with uncertainty", "TRIPOD+AI 12e, 23a, CLAIM, CLEAR Derm", "models"),
    Item("Tests between models", "TRIPOD+AI 12e, CLAIM", "tests"),
    Item("Discrimination: ROC and precision-recall", "TRIPOD+AI 23a, CLAIM", "curves"),
    Item("Errors by class", "CLAIM, CLEAR Derm", "confusion"),
    Item("Calibration", "TRIPOD+AI 12e, 23a", "calibration"),
    Item("Output, and how its threshold was chosen", "TRIPOD+AI 15, CLAIM", "threshold"),
    Item("Clinical utility: decision curve", "TRIPOD+AI 12e", "threshold"),
    Item("Cases the model should not decide", "TRIPOD+AI 27a, CLEAR Derm", "referral"),
    Item("Fairness and performance in subgroups, skin tone among them", "TRIPOD+AI 14, 23b, CLEAR Derm", "subgroups"),
    Item("Evaluation on external data", "TRIPOD+AI 12g, 16, 23a, CLAIM, CLEAR Derm", "external"),
    Item("Analysis of failures", "CLAIM, CLEAR Derm", "failures"),
    Item("Explanations, how they were checked, and clinicians' ratings of them", "CLAIM", "explanations"),
    Item("Artefacts, quality and duplicates of the photos", "TRIPOD+AI 7, CLEAR Derm", "audit"),
    Item("Limitations and intended use", "TRIPOD+AI 26, CLAIM, CLEAR Derm", "limits"),
    Item("Title, abstract, clinical background, objectives", "TRIPOD+AI 1-4, CLAIM", None),
    Item("Where, when, by whom and with what the photos were taken", "TRIPOD+AI 5, 6a, CLAIM, CLEAR Derm", None),
    Item("Who was eligible; treatments they received", "TRIPOD+AI 6b, 6c, CLAIM", None),
    Item(
        "Reference standard: PCR, histology or opinion; who assessed it, blinded to what",
        "TRIPOD+AI 8, CLAIM, CLEAR Derm",
        None,
    ),
    Item("Agreement of those who labelled the photos", "TRIPOD+AI 8b, CLAIM", None),
    Item("Sample size and its justification", "TRIPOD+AI 10, CLAIM", None),
    Item(
        "Age, sex, skin tone, body site and other demographics of the people", "TRIPOD+AI 20b, CLAIM, CLEAR Derm", None
    ),
    Item(
        "Representativeness for the intended users; known health inequalities", "TRIPOD+AI 3b, 3c, 5a, CLEAR Derm", None
    ),
    Item("Comparison with clinicians", "CLEAR Derm", None),
    Item("Ethical approval, consent, de-identification", "TRIPOD+AI 17, CLAIM, CLEAR Derm", None),
    Item("Protocol, registration, funding, conflicts, sharing of data and code", "TRIPOD+AI 18, CLAIM", None),
    Item("Involvement of patients and public", "TRIPOD+AI 19", None),
    Item(
        "Place in the clinical workflow, and consequences of each kind of error",
        "TRIPOD+AI 27, CLAIM, CLEAR Derm",
        None,
    ),
    Item("Interpretation in the light of other studies", "TRIPOD+AI 25, CLAIM", None),
)
