"""What does TRIPOD+AI ask of a prediction model? Its 27 items, in order, in our own words.

References
----------
Collins et al. 2024, TRIPOD+AI statement (doi:10.1136/bmj-2023-078378).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One item, or one part of an item, of the checklist.

    Attributes
    ----------
    number
        Such as ``3a``.
    section, topic
        Where in a report it belongs, and its heading there.
    asks
        What a reader wants to know.
    wanted
        What only a person can say of it; empty where the run knows everything.
    """

    number: str
    section: str
    topic: str
    asks: str
    wanted: str = ""


_FRONT, _INTRO = "Title and abstract", "Introduction"
_METHODS, _OPEN, _INVOLVED = "Methods", "Open science", "Patient and public involvement"
_RESULTS, _DISCUSSION = "Results", "Discussion"

ITEMS = (
    Item("1", _FRONT, "Title", "Is a model developed or evaluated, for whom and for what outcome?"),
    Item("2", _FRONT, "Abstract", "What is the study in short?"),
    Item(
        "3a",
        _INTRO,
        "Healthcare context",
        "In what context, why this model, and which models are there already?",
        "the healthcare context, why a model is needed, and the published models for it",
    ),
    Item(
        "3b",
        _INTRO,
        "Intended use",
        "For which patients, for what purpose, where in care, and who uses it?",
        "where in care the model is meant to be used, and by whom",
    ),
    Item(
        "3c",
        _INTRO,
        "Health inequalities",
        "Which inequalities between groups of people are known?",
        "known inequalities between groups of people in this disease and its care",
    ),
    Item("4", _INTRO, "Objectives", "What was to be found out: development, evaluation or both?"),
    Item(
        "5a",
        _METHODS,
        "Data sources",
        "Where do the patients come from, and whom do they represent?",
        "whom the cohort represents, and whom it does not",
    ),
    Item(
        "5b",
        _METHODS,
        "Dates",
        "When did accrual begin and end, and when follow-up?",
        "the calendar dates of accrual and of the end of follow-up",
    ),
    Item(
        "6a",
        _METHODS,
        "Setting",
        "In what kind of care, in how many centres and where?",
        "the kind of care, and the number and places of the centres",
    ),
    Item(
        "6b",
        _METHODS,
        "Eligibility",
        "Who could take part?",
        "the inclusion and exclusion criteria of the study",
    ),
    Item("6c", _METHODS, "Treatments", "What was given, and how does the model handle it?"),
    Item("7", _METHODS, "Data preparation", "How were data prepared and checked, alike for all?"),
    Item(
        "8a",
        _METHODS,
        "Outcome",
        "What is predicted, at which horizon, assessed how and when, and why this?",
        "how and when the outcome was assessed, whether alike in all groups, and why it was chosen",
    ),
    Item(
        "8b",
        _METHODS,
        "Outcome assessors",
        "Who assessed an outcome that takes judgement?",
        "the qualification of those who assessed the outcome, or that it takes no judgement",
    ),
    Item(
        "8c",
        _METHODS,
        "Blinding of the outcome",
        "Was the outcome assessed blind?",
        "whether the outcome was assessed blind to the predictors",
    ),
    Item("9a", _METHODS, "Choice of predictors", "How were the first predictors chosen?"),
    Item(
        "9b",
        _METHODS,
        "Predictors",
        "What is each predictor, measured how and when?",
        "by which method each modality was measured, and whether blind to the outcome",
    ),
    Item(
        "9c",
        _METHODS,
        "Predictor assessors",
        "Who assessed a predictor that takes judgement?",
        "the qualification of those who assessed predictors, or that none takes judgement",
    ),
    Item("10", _METHODS, "Sample size", "How was the size arrived at, and is it enough?"),
    Item("11", _METHODS, "Missing data", "How was what is missing handled?"),
    Item("12a", _METHODS, "Use of the data", "What was used for development, what for evaluation?"),
    Item("12b", _METHODS, "Handling of predictors", "How are predictors transformed and scaled?"),
    Item("12c", _METHODS, "Model", "Which model, how built and tuned, how validated internally?"),
    Item("12d", _METHODS, "Heterogeneity", "How were differences between clusters handled?"),
    Item("12e", _METHODS, "Measures", "By which measures and plots is performance judged?"),
    Item("12f", _METHODS, "Model updating", "Was the model updated after its evaluation?"),
    Item("12g", _METHODS, "Predictions", "How were predictions calculated for the evaluation?"),
    Item("13", _METHODS, "Class imbalance", "Were classes balanced, and predictions put right?"),
    Item("14", _METHODS, "Fairness", "What was done for fairness?"),
    Item("15", _METHODS, "Output", "What does the model put out, and which thresholds are there?"),
    Item("16", _METHODS, "Training versus evaluation", "How do the two kinds of data differ?"),
    Item(
        "17",
        _METHODS,
        "Ethical approval",
        "Which committee approved, and how did participants consent?",
        "the ethics committee and its approval",
    ),
    Item("18a", _OPEN, "Funding", "Who paid, and what part did they have?", "the funders"),
    Item(
        "18b",
        _OPEN,
        "Conflicts of interest",
        "What interests do the authors have?",
        "the authors' conflicts of interest, or that there are none",
    ),
    Item(
        "18c",
        _OPEN,
        "Protocol",
        "Where is the protocol?",
        "where the protocol is, or that there is none",
    ),
    Item(
        "18d",
        _OPEN,
        "Registration",
        "Where is the study registered?",
        "the register and the number, or that the study is not registered",
    ),
    Item("18e", _OPEN, "Data sharing", "Where are the data?"),
    Item("18f", _OPEN, "Code sharing", "Where is the code?"),
    Item(
        "19",
        _INVOLVED,
        "Involvement",
        "How were patients and the public involved?",
        "how patients and the public were involved, or that they were not",
    ),
    Item("20a", _RESULTS, "Flow", "How many took part, how many had the outcome?"),
    Item("20b", _RESULTS, "Characteristics", "Who are they, and how much of them is missing?"),
    Item("20c", _RESULTS, "Comparison", "How do evaluated patients differ from the trained on?"),
    Item("21", _RESULTS, "Numbers in each analysis", "How many patients and events in each step?"),
    Item("22", _RESULTS, "Model specification", "How can others use the whole model?"),
    Item("23a", _RESULTS, "Performance", "How good is it, with intervals and in subgroups?"),
    Item("23b", _RESULTS, "Performance by cluster", "How does performance differ by cluster?"),
    Item("24", _RESULTS, "Updated model", "What came of updating?"),
    Item(
        "25",
        _DISCUSSION,
        "Interpretation",
        "What do the results mean, fairness included?",
        "what the results mean beside earlier studies",
    ),
    Item("26", _DISCUSSION, "Limitations", "What may be wrong, and what would follow from it?"),
    Item("27a", _DISCUSSION, "Poor input", "What if input is poor or not there?"),
    Item("27b", _DISCUSSION, "Users", "What must users do, and what must they know?"),
    Item("27c", _DISCUSSION, "Next steps", "What should be studied next?"),
)
"""In the order of the checklist, version of 11 January 2024."""
