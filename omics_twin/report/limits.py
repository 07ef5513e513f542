"""What the answer rests on and what the twin does not know, for one patient, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from omics_twin.answers.patients import Patients
from omics_twin.lifecycle.validity import UNLIKE
from omics_twin.report.comparison import Comparison
from omics_twin.report.measured import Measured
from omics_twin.report.summary import Patient, optimistic_sentences
from omics_twin.report.words import counted, listed, name_in_words, percent, visible
from omics_twin.tracking import AnyModel, TrainedModel
from omics_twin.types import Visit
from omics_twin.visits.living import LivingModel


def limits_of(
    model: TrainedModel,
    patient: Patient,
    comparison: Comparison,
    measured: Sequence[Measured],
    interval: float,
    likeness: str = "",
) -> list[str]:
    """Return what the twin does not know, this patient's own gaps first."""
    return [
        *_about_the_patient(patient, measured),
        *_about_support(model, comparison),
        "The intervals say how unsure the model is about an expected value. They are not the "
        f"range of what may happen to this patient, and {_about_coverage(model, interval)}",
        _about_confounding(model),
        _about_likeness(model, likeness),
        _about_endpoint(model),
        "Therapies are as given in the training cohort: other doses, sequences or lines of "
        "treatment, co-morbidity and contraindications are not considered.",
        "The twin has never been tested prospectively. Guidelines, approval and availability of "
        "the therapies are not known to it.",
    ]


def unlike(model: TrainedModel, patients: Patients) -> str:
    """Return why the only patient is unlike the training patients: a clause, empty where not."""
    if model.likeness is None:
        return ""
    found = model.likeness.verdict(patients.matrices.values)
    if found is None or found.share > UNLIKE:
        return ""
    channel = next(each for each in model.twin.design.channels if each.name == found.channel)
    columns = [channel.features[each].column for each in found.features]
    return _more_unusual("before treatment", channel.modality, columns)


def unlike_at_first(model: LivingModel, visits: Sequence[Visit]) -> str:
    """Return the same of who is followed from visit to visit: a clause, empty where not."""
    if model.likeness is None:
        return ""
    found = model.likeness.verdict(model.first_of(visits))
    if found is None or found.share > UNLIKE:
        return ""
    columns = [model.features_at_first[each] for each in found.features]
    return _more_unusual("at the first visit", found.channel, columns)


def _more_unusual(when: str, modality: str, columns: Sequence[str]) -> str:
    names = [visible(name_in_words(each)) for each in columns]
    far = f", above all {listed(list(dict.fromkeys(names)))}" if names else ""
    return (
        f"What was measured {when} is more unusual than in {percent(1.0 - UNLIKE)} of "
        f"the training patients ({visible(name_in_words(modality))}{far})"
    )


def _about_likeness(model: TrainedModel, likeness: str) -> str:
    if model.likeness is None:
        return (
            "Whether this patient resembles the training patients beyond the stratum is not tested."
        )
    if likeness:
        return f"{likeness}: the answer is an extrapolation."
    return (
        "What was measured before treatment is not more unusual than in "
        f"{percent(1.0 - UNLIKE)} of the training patients; what was not measured is not compared."
    )


def _about_coverage(model: TrainedModel, interval: float) -> str:
    calibration = (model.provenance.get("performance") or {}).get("calibration") or {}
    after = (calibration.get("copy") or {}).get("after")
    if not model.calibration.fitted or not after:
        return f"{percent(interval)} is the model's own belief, not a guaranteed coverage."
    shares = [after[name]["coverage"] for name in ("expected", "benefit")]
    held = [percent(round(each, 2)) for each in shares if each is not None]
    what = ["expected values", "differences between two therapies"]
    told = " and ".join(f"{each} of {of}" for each, of in zip(held, what, strict=False))
    return (
        f"they were calibrated on a simulated copy of the training cohort, where intervals of "
        f"{percent(model.calibration.level)} held {told}: what the model itself gets wrong about "
        "patients and therapies is not in them."
    )


def _about_the_patient(patient: Patient, measured: Sequence[Measured]) -> list[str]:
    found = []
    baseline = [each for each in measured if not each.follow_up]
    absent = [each.name for each in baseline if each.status == "missing"]
    if absent:
        found.append(
            f"Not measured in this patient: {listed(absent)}. The answer is less certain for it, "
            "and it was not filled in."
        )
    partly = [each for each in baseline if each.status == "partly"]
    found += [
        f"Only {each.found} of {each.expected} values of {each.name} were measured."
        for each in partly
    ]
    if "not measured" in patient.stratum:
        found.append(f"The stratum itself is incomplete: {patient.stratum}.")
    found += optimistic_sentences(patient)
    if patient.as_of_days > 0:
        given = f" while on {patient.received}" if patient.received else ""
        found.append(
            f"Visits up to day {patient.as_of_days:g} were observed{given}. What a change of "
            "therapy at that point would do was not studied in the training cohort."
        )
    return found


def _about_support(model: TrainedModel, comparison: Comparison) -> list[str]:
    thin = [f"{each.label} ({each.received_by})" for each in comparison.thin]
    if not thin:
        return []
    return [
        f"Fewer than {model.catalogue.thin_support} training patients of this stratum received: "
        f"{listed(thin, most=20)}. What is said of these rests mostly on other strata."
    ]


def randomised(model: AnyModel) -> bool:
    """Whether the training cohort's own description says that therapies were randomised."""
    title = str(model.provenance.get("cohort_title", "")).lower()
    denied = any(f"{word}randomi" in title for word in ("non-", "non", "not ", "un"))
    return "randomi" in title and not denied


def _about_confounding(model: TrainedModel) -> str:
    if randomised(model):
        return (
            "Differences between therapies are causal only as far as assignment was random within "
            "the stratum and arms that recruited at different times met like patients."
        )
    return (
        "The training cohort is not described as randomised: differences between therapies may "
        "reflect whom they were chosen for. Causes that were not measured are not adjusted for."
    )


def _about_endpoint(model: TrainedModel) -> str:
    compared = (
        f"Only “{visible(model.title)}” is compared: toxicity, quality of life and the patient's "
        "own wishes are not."
    )
    if model.outcome in ("os", "overall_survival"):
        return compared
    return (
        f"{compared} It is a surrogate endpoint: a therapy that is better here need not lead to "
        "longer survival."
    )


def evidence_of(model: AnyModel) -> list[str]:
    """Return what the answer rests on, in sentences."""
    known = model.provenance
    name = str(known.get("cohort_title") or known.get("cohort") or "not recorded")
    size = known.get("patients")
    sentences = [
        f"Training cohort: {visible(name)}"
        + (f", {counted(int(size), 'patient')}." if size is not None else "."),
        "Its description says that therapies were assigned at random."
        if randomised(model)
        else "Its description does not say that therapies were assigned at random.",
    ]
    if isinstance(model, TrainedModel) and model.support.columns:
        markers = listed([visible(name_in_words(each)) for each in model.support.columns])
        sentences.append(
            f"Patients are compared within a stratum of: {markers}. A therapy that nobody of a "
            "stratum received is taken as not open to it."
        )
    return sentences
