"""What does a card say of a twin that learns from visit to visit? Sentences from its run alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from omics_twin.dynamics.solve import Solved
from omics_twin.evaluate.score import HIGHER_IS_BETTER
from omics_twin.lifecycle.validity import UNLIKE, policy_of
from omics_twin.report.card_answers import SHARED
from omics_twin.report.card_facts import (
    REPO_LICENCE,
    Answer,
    attack_in_words,
    cohort_title,
    not_seen,
    people_in_words,
    performance_in,
    settings_in,
)
from omics_twin.report.words import (
    METRIC_NAMES,
    counted,
    listed,
    mean_and_spread,
    name_in_words,
    percent,
    visible,
)
from omics_twin.settings import Unlike
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.visits.living import CLONES, GROWTH, RESPONSE, VISITS, VOLUME, LivingModel

_BUILT = {
    GROWTH: "growth, inhibition that wears off and chance, in closed form, with patients' "
    "parameters drawn from a population that is learned",
    CLONES: "a sensitive clone that is killed and a resistant one that is not, in closed form, "
    "with parameters of each patient drawn from a population that is learned by stochastic EM",
    VOLUME: "equations of a volume ({equations}), with parameters of each patient drawn from a "
    "population that is learned by stochastic EM",
    VISITS: "ensemble of recurrent networks with a hazard, one member for each fold and replica",
    RESPONSE: "constant rates of change between scheduled visits and a propensity to respond, "
    "proposed by an ensemble of networks from what is known before treatment and the therapy, one "
    "member for each fold and replica",
}
_EVERYBODY = "the twin that is kept learned from everybody, those that were judged did not"
_HELD_OUT = {
    GROWTH: _EVERYBODY,
    CLONES: _EVERYBODY,
    VOLUME: "the twin that is kept learned from everybody not put aside, those that were judged "
    "did not",
    VISITS: "each patient answered by members that never saw the patient",
    RESPONSE: "each patient answered by members that never saw the patient",
}

_TOGETHER = {
    "THERAPY": "Every arm of doses was held out as a whole.",
    "SITE": "Whole sites were held out.",
    "DECLARED": "The folds that the cohort declares were held out.",
}


def _made_of(model: LivingModel) -> str:
    twin = model.twin
    solved = twin.dynamics if isinstance(twin, MechanisticTwin) else None
    equations = solved.system.name if isinstance(solved, Solved) else ""
    return _BUILT[model.kind].format(equations=visible(equations))


def answers_of(model: LivingModel) -> dict[str, Answer]:
    """Return item of TRIPOD+AI -> what the run says."""
    return {number: said(model) for number, said in _SAID.items()}


def protocol_of(model: LivingModel) -> str:
    """Return how the twin was judged."""
    found = performance_in(model)
    judged = (found.get("by_fold") or {}).values()
    number = max(map(len, judged), default=found.get("folds"))
    if number is None:
        return "not recorded"
    folds = counted(number, "fold")
    by = str(settings_in(model, "split", "by") or "PATIENT").lower()
    repeats = found.get("repeats")
    more = f", {counted(repeats, 'repeat')}" if repeats else ""
    return f"patients held out in one of {folds} (by {by}){more}; {_HELD_OUT[model.kind]}"


def verdict_of(model: LivingModel) -> str:
    """Return whether a baseline is better on the first measure, and what the interval says."""
    found = performance_in(model)
    if not found:
        return "Performance was not recorded."
    first = next(iter(found["model"]))
    sign = 1.0 if HIGHER_IS_BETTER.get(first) else -1.0
    means = {
        name: each[first]["mean"] for name, each in found["baselines"].items() if first in each
    }
    own, words = found["model"][first]["mean"], METRIC_NAMES.get(first, name_in_words(first))
    if not means:
        return "No baseline was compared."
    best = max(means, key=lambda name: sign * means[name])
    better = "better" if sign * means[best] > sign * own else "not better"
    told = (
        f"{words}: {own:.3f}; the best baseline, {visible(name_in_words(best))}, is {better} with "
        f"{means[best]:.3f}."
    )
    paired = (found.get("paired") or {}).get(best) or {}
    name = next((each for each in (first, "uno_c") if each in paired), None)
    if name is None:
        return told
    cell = paired[name]
    return (
        f"{told} The twin less this baseline, {METRIC_NAMES.get(name, name)}: {cell['mean']:+.3f} "
        f"({cell['lower']:+.3f} to {cell['upper']:+.3f})."
    )


def limits_of(model: LivingModel) -> Answer:
    """Return what may be wrong with the twin's answers, whoever the patient is."""
    sizes = (
        "Doses are not known to it: an arm is its standard treatment from day 0 on. "
        "Progression is by size alone; new lesions and deaths are not foreseen."
    )
    own = {
        GROWTH: sizes,
        CLONES: sizes,
        VOLUME: "Learned under one drug and few doses: other drugs and schedules are answered by "
        "its equations, not by data.",
        VISITS: "Graded scores are forecast with Gaussian errors, which are crude; a "
        "therapy's effect is what was seen in those who received it.",
        RESPONSE: "Rates are constant between scheduled visits; a therapy's effect is what was "
        "seen in those who received it, and whom an arm is open to is not checked.",
    }[model.kind]
    return (
        own,
        "What-if under another plan is causal only as far as assignment was random and the model "
        "is right; unmeasured causes are not adjusted for.",
        not_seen(model),
        "Who leaves the study leaves the forecasts too: visits that did not take place are not "
        "judged.",
        "Never tested prospectively.",
    )


def calibration_of(model: LivingModel) -> Answer:
    """Return how often intervals held what came, and how far forecasts are off on average."""
    found = performance_in(model)
    cells = (found.get("intervals") or {}).get("model") or {}
    told = [
        f"{METRIC_NAMES.get(name, name)}: {cell['mean']:.3f} (95 % interval {cell['lower']:.3f} to "
        f"{cell['upper']:.3f}{', 0.9 was promised' if 'holds' in name else ''})."
        for name, cell in cells.items()
        if "holds" in name or "less_predicted" in name
    ]
    distance = (found.get("calibration_of_forecasts") or {}).get("ks")
    if distance is not None:
        told.append(f"Kolmogorov-Smirnov distance of the forecasts from even: {distance:.3f}.")
    return tuple(told) or ("Calibration was not measured.",)


def domain_of(model: LivingModel) -> Answer:
    """Return how a patient is found out who is unlike the training patients."""
    compared = model.likeness
    return (
        "Whether a new patient resembles the training patients is not tested: too few of them, or "
        "none, were there to compare with."
        if compared is None
        else f"The first visit ({listed([visible(e) for e in model.features_at_first], most=20)}) "
        f"is compared with that of {len(compared.calibration)} training patients: who is more "
        f"unusual than {percent(1.0 - UNLIKE)} of them is "
        + (
            "refused an answer."
            if policy_of(model) is Unlike.REFUSE
            else "answered with a warning."
        ),
        "From the second visit on each forecast is held against what came: a patient whom the "
        f"twin does not fit raises an alert, of those whom it fits at most "
        f"{percent(model.false_alarms)} ever.",
        f"Therapies that it saw: {listed([visible(each) for each in model.arms], most=20)}. "
        "An arm of another name is refused.",
    )


def privacy_of(model: LivingModel) -> Answer:
    """Return what the files hold of a patient, and what was not measured."""
    held = {
        GROWTH: "parameters of the population",
        CLONES: "parameters of the population",
        VOLUME: "parameters of the population and each arm's typical doses",
        VISITS: "weights, means and spreads of what was measured",
        RESPONSE: "weights, means and spreads of what was measured",
    }[model.kind]
    return (
        "Trained without differential privacy.",
        attack_in_words((performance_in(model).get("privacy") or {}).get("attack")),
        f"The files hold salted digests of the patients' identifiers, {held}, and of the first "
        "visit means, spreads, counts in bins of at least ten and how unusual patients were in "
        "steps of a quarter; no row of a patient.",
    )


def synthetic_of(model: LivingModel) -> Answer:
    """Return whether anything was simulated."""
    return (people_in_words(model), "No simulated outcome was used.")


def _modality(model: LivingModel) -> str:
    told = [
        f"{name_in_words(each.name)}: {listed([visible(f) for f in each.features], most=20)}"
        f" ({each.unit})"
        for each in model.twin.modalities
    ]
    return "; ".join(told)


def _patients(model: LivingModel) -> str:
    return counted(int(model.provenance.get("patients", 0)), "patient")


def _horizon(model: LivingModel) -> str:
    return f"{model.endpoint.horizon_days:g} days"


def _title(model: LivingModel) -> Answer:
    return (
        "Development, with internal validation, of a twin that learns from every visit what comes "
        f"next and foresees: {visible(model.title)}, in patients like those of: "
        f"{cohort_title(model)}.",
    )


def _abstract(model: LivingModel) -> Answer:
    return (
        f"Cohort: {cohort_title(model)}; {_patients(model)}.",
        f"Outcome: {visible(model.title)}, horizon {_horizon(model)}; and each next measurement.",
        f"Predictors: {_modality(model)}, at every visit so far.",
        f"Model: {_made_of(model)}. Validation: {protocol_of(model)}.",
        verdict_of(model),
    )


def _context(model: LivingModel) -> Answer:
    names = [visible(name_in_words(each)) for each in performance_in(model).get("baselines") or {}]
    return (
        "Prognostic: what comes next under a plan, not whether a disease is there.",
        f"It stands beside {counted(len(names), 'baseline')} on the same held-out forecasts"
        + (f": {listed(names)}." if names else "."),
    )


def _eligible(model: LivingModel) -> Answer:
    known = " and a known end of follow-up" if model.kind == VISITS else ""
    return (
        f"Trained on every patient of the cohort with permission and a visit that is measured"
        f"{known}; whoever else is in the files was left out.",
    )


def _treatments(model: LivingModel) -> Answer:
    return (
        f"Arms received: {listed([visible(each) for each in model.arms], most=40)}.",
        "Dose by dose, as it was given."
        if model.plans
        else "Doses are not known: an arm is its standard treatment.",
    )


def _built(model: LivingModel) -> Answer:
    asked = {
        **(settings_in(model, "dynamics") or {}),
        **((settings_in(model, "trainer") or {}) if model.kind == VISITS else {}),
    }
    shown = [f"{k} {v}" for k, v in asked.items() if not isinstance(v, dict) and v not in ("", [])]
    return (
        f"{_made_of(model)}; {protocol_of(model)}.".capitalize(),
        f"Settings, fixed before the run: {visible(', '.join(shown)) or 'not recorded'}.",
    )


def _measures(model: LivingModel) -> Answer:
    names = list(performance_in(model).get("model") or {})
    return (
        f"Measures: {listed([METRIC_NAMES.get(n, name_in_words(n)) for n in names], most=20)}.",
        "Intervals: 95 % over patients, by their influences; a patient's forecasts are together. "
        "Baselines and paired differences on the same forecasts.",
    )


def _flow(model: LivingModel) -> Answer:
    found = performance_in(model)
    told = f"{_patients(model)} were trained on; {found.get('n', 'no')} were evaluated."
    forecasts = found.get("forecasts")
    return (told,) if forecasts is None else (told, f"Forecasts judged: {forecasts}.")


def _people(model: LivingModel) -> Answer:
    rows = performance_in(model).get("subgroups") or []
    told = [
        f"{visible(name_in_words(str(row['attribute'])))} {visible(str(row['group']))}: "
        f"{row['patients']}"
        for row in rows[1:]
        if not row["suppressed"]
    ]
    return (f"Patients by group: {listed(told, most=30)}.",) if told else ("No group is told.",)


def _by_cluster(model: LivingModel) -> Answer:
    found = performance_in(model).get("by_fold") or {}
    cells = [
        f"{METRIC_NAMES.get(name, name)} {', '.join(f'{each:.3f}' for each in values)}"
        for name, values in found.items()
    ]
    return (
        (f"By fold: {'; '.join(cells)}. By group: see “Subgroups”.",)
        if cells
        else ("Not examined.",)
    )


def _performance(model: LivingModel) -> Answer:
    cells = performance_in(model).get("model") or {}
    told = [
        f"{METRIC_NAMES.get(n, name_in_words(n))} {mean_and_spread(c)}" for n, c in cells.items()
    ]
    return (f"{'; '.join(told) or 'Not recorded'}. See “Performance” and “Subgroups”.",)


_SAID: Mapping[str, Callable[[Any], Answer]] = {
    **SHARED,
    "1": _title,
    "2": _abstract,
    "3a": _context,
    "6b": _eligible,
    "6c": _treatments,
    "7": lambda model: (
        "Units, ranges, categories and keys are declared and checked while reading; a value out of "
        "its range or an unknown column refuses the file. The same rules hold for every patient.",
    ),
    "8a": lambda model: (
        f"{visible(model.title)}; horizon {_horizon(model)}; "
        f"{'higher' if model.endpoint.higher_is_better else 'lower'} is better. One visit ahead: "
        "each measurement.",
    ),
    "9a": lambda model: (
        "All columns of the modality that the cohort's declaration names; none was selected by its "
        "relation to the outcome.",
    ),
    "9b": lambda model: (f"{_modality(model)}, at every visit on the day it took place.",),
    "10": lambda model: (
        f"The size is that of the cohort: {_patients(model)}. The platform makes no sample size "
        "calculation; whether the size is enough is judged by intervals on held-out patients and "
        "by simple baselines.",
    ),
    "11": lambda model: (
        "Nothing is imputed: a visit that did not take place, or a value that was not measured, "
        "leaves the belief as wide as it is.",
    ),
    "12a": lambda model: (f"Internal cross-validation: {protocol_of(model)}.",),
    "12b": lambda model: (
        "Sizes and volumes on the scale of their growth; other numbers standardised by training "
        "patients, as logarithms where the declaration says so.",
    ),
    "12c": _built,
    "12d": lambda model: (
        _TOGETHER.get(
            str(settings_in(model, "split", "by")),
            "Patients were held out, not whole centres or studies.",
        ),
    ),
    "12e": _measures,
    "12f": lambda model: ("None: forecasts and intervals are as learned.",),
    "12g": lambda model: (
        "Visit by visit: forecast from all visits before, then shown the visit; the code of "
        "`omics-twin update`, which is that of the bedside.",
    ),
    "15": lambda model: (
        "A belief about the patient after every visit, what is foreseen with intervals, alerts, "
        "and plans compared with the probability of being best. No class is assigned.",
    ),
    "20a": _flow,
    "20b": _people,
    "21": lambda model: (f"{_patients(model)}; {protocol_of(model)}; settings were not tuned.",),
    "22": lambda model: (
        "Parameters as JSON or safetensors under a SHA-256 manifest; no pickle. `omics-twin update "
        "model_uri=FOLDER patient=…` shows visits, `omics-twin simulate` compares plans. Code: "
        f"{REPO_LICENCE}; the model inherits the terms of its cohort.",
    ),
    "23a": _performance,
    "23b": _by_cluster,
    "25": lambda model: (verdict_of(model),),
    "26": limits_of,
    "27a": lambda model: (
        "Unknown columns, units, categories and values out of range are refused with a sentence; "
        "a visit that surprises the twin is told of, see “Domain of validity”.",
    ),
    "27b": lambda model: (
        "Users supply measurements in the declared units with their days; nothing is chosen or "
        "tuned. They must be able to judge a forecast with its interval and its limits.",
    ),
    "27c": lambda model: (
        "Evaluation on another cohort, and a prospective study before any use in care.",
    ),
}
