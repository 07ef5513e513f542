"""What a synthetic trial's hospitals would record of a chunk of patients, table by table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from omics_twin.intake.synthetic_trial import Assignment, SyntheticTrial
from omics_twin.intake.synthetic_truth import (
    COPY_NUMBERS,
    DRIVERS,
    PATHWAYS,
    REGIMENS,
    Floats,
    Stream,
    Tumours,
    draw_tumours,
    progression_hazard,
    propensity,
    response_probability,
    restricted_mean_days,
    stream_of,
)

VISIT_DAYS = (0.0, 21.0, 84.0, 168.0)
TRUTH = "truth/truth.parquet"

_LEADING_GENES: dict[str, str] = {
    "proliferation": "MKI67 TOP2A AURKA CCNB1 BIRC5 UBE2C MYBL2 CDC20",
    "immune": "CD8A GZMB CXCL9 PDCD1 CD274 CD3E PRF1 IFNG",
    "repair_deficiency": "RAD51 FANCA BRIP1 XRCC2 EXO1 FANCD2 RAD54L BLM",
    "pi3k": "RPS6KB1 MTOR SGK1 INPP4B PIK3CB RICTOR FOXO3 TSC2",
    "her2": "ERBB2 GRB7 STARD3 PGAP3 MIEN1 ORMDL3 GSDMB PNMT",
    "oestrogen": "ESR1 PGR GREB1 TFF1 FOXA1 XBP1 GATA3 CA12",
    "androgen": "AR SPDEF KLK3 FKBP5 TMPRSS2 UGT2B11 ALCAM PIP",
    "basal": "KRT5 KRT14 KRT17 FOXC1 EGFR TRIM29 CDH3 SFRP1",
    "interferon": "STAT1 IRF1 ISG15 IFIT1 IFIT3 MX1 OAS1 IFI44L",
    "mesenchymal": "VIM ZEB1 SNAI2 TWIST1 FN1 CDH2 MMP2 SPARC",
    "hypoxia": "CA9 VEGFA LDHA ADM PGK1 SLC2A1 BNIP3 P4HA1",
    "angiogenesis": "PECAM1 KDR FLT1 ENG TEK VWF ANGPT2 CD34",
    "p53": "CDKN1A MDM2 GDF15 BBC3 SESN1 TP53INP1 FDXR ZMAT3",
    "myc": "MYC NOP56 NPM1 NCL ODC1 CDK4 RRS1 POLR1B",
    "apoptosis": "BCL2 BAX MCL1 BAK1 BCL2L1 CASP3 BID CASP8",
    "wnt": "AXIN2 LEF1 NKD1 TCF7 RNF43 LGR5 DKK1 NOTUM",
    "notch": "HES1 HEY1 JAG1 NOTCH3 DLL4 HEYL NRARP MAML2",
    "tgf_beta": "SERPINE1 SMAD7 TGFB1 SKIL LTBP2 TGFBI CCN2 INHBA",
    "oxidative_phosphorylation": "COX5A NDUFA4 ATP5F1B UQCRC1 CYCS SDHB COX6C NDUFB8",
    "lipid_synthesis": "FASN SCD ACACA SREBF1 HMGCR LDLR SQLE ACLY",
}
_SHARE_OF_GENES_IN_PATHWAYS = 0.8
# The first of PATHWAYS are the main axes along which breast tumours differ.
_MAIN_AXES = 6
_STAGES = np.array(["I", "II", "III"])
_MENOPAUSE = np.array(["premenopausal", "perimenopausal", "postmenopausal"])


@dataclass(frozen=True)
class Laboratory:
    """What is the same for all patients: how genes answer to pathways and to hospitals.

    Attributes
    ----------
    genes
        Names in the order of the gene axis.
    pathway
        Position of each gene's pathway in ``PATHWAYS``, -1 for none, shape (gene,).
    loading, baseline, noise
        Change per unit of activity, mean and standard deviation, shape (gene,) [log2_tpm].
    shift
        Batch effect, shape (site, gene) [log2_tpm].
    """

    genes: tuple[str, ...]
    pathway: NDArray[np.int64]
    loading: NDArray[np.float32]
    baseline: NDArray[np.float32]
    noise: NDArray[np.float32]
    shift: NDArray[np.float32]


def laboratory(trial: SyntheticTrial) -> Laboratory:
    """Return the laboratory of a trial."""
    stream = stream_of(trial.seed, -1)
    each = max(8, int(_SHARE_OF_GENES_IN_PATHWAYS * trial.genes) // len(PATHWAYS))
    pathway = np.full(trial.genes, -1)
    pathway[: each * len(PATHWAYS)] = np.repeat(np.arange(len(PATHWAYS)), each)
    names = [f"GENE{position:05d}" for position in range(1, trial.genes + 1)]
    sign = np.where(stream("sign").random(trial.genes) < 0.85, 1.0, -1.0)
    for position, name in enumerate(PATHWAYS):
        first, leading = position * each, _LEADING_GENES[name].split()
        names[first : first + len(leading)] = leading
        sign[first : first + len(leading)] = 1.0
    loading = sign * (0.6 + 0.6 * stream("loading").random(trial.genes)) * (pathway >= 0)
    loading *= np.where(pathway < _MAIN_AXES, 1.3, 1.0)
    return Laboratory(
        genes=tuple(names),
        pathway=pathway,
        loading=loading.astype(np.float32),
        baseline=(4.0 + 6.0 * stream("baseline").random(trial.genes)).astype(np.float32),
        noise=(0.7 + 0.5 * stream("noise").random(trial.genes)).astype(np.float32),
        shift=trial.batch_effect
        * stream("shift").standard_normal((trial.sites, trial.genes), dtype=np.float32),
    )


@dataclass(frozen=True)
class _Course:
    """What a chunk of patients would go through and did; arms are columns."""

    probability: Floats
    propensity: Floats
    response: NDArray[np.bool_]
    received: NDArray[np.int64]
    site: NDArray[np.int64]
    enrolled_day: Floats

    def under_received(self, by_arm: NDArray[Any]) -> NDArray[Any]:
        return by_arm[np.arange(len(self.received)), self.received]


def chunk_tables(trial: SyntheticTrial, lab: Laboratory, chunk: int) -> dict[str, pa.Table]:
    """Return every table's rows for one chunk of patients.

    Parameters
    ----------
    trial
        The settings.
    lab
        What :func:`laboratory` returned for them.
    chunk
        Position of the chunk, from 0.

    Returns
    -------
    dict[str, pyarrow.Table]
        File name below the cohort's root -> rows.
    """
    first = chunk * trial.chunk
    patients = min(trial.chunk, trial.patients - first)
    numbers = np.arange(first + 1, first + patients + 1)
    # Patients of another seed are other people, and must not be taken for these.
    prefix = f"SYN{trial.seed}-" if trial.seed else "SYN"
    identifiers = np.array([f"{prefix}{number:07d}" for number in numbers], dtype=object)
    stream = stream_of(trial.seed, chunk)
    tumours = draw_tumours(stream, patients)
    course = _course(trial, stream, tumours)
    modalities = {
        "genomics": _genomics(stream, tumours),
        "transcriptomics": _transcriptomics(stream, lab, tumours, course),
        "radiomics": _radiomics(stream, tumours, course),
    }
    arms = np.array(list(REGIMENS), dtype=object)
    tables = {
        "clinical.parquet": _table(identifiers, _clinical(trial, stream, tumours, course)),
        "therapy.parquet": _table(identifiers, {"arm": arms[course.received]}),
        "outcome.parquet": _table(identifiers, _outcome(stream, tumours, course)),
        TRUTH: _table(identifiers, _truth(tumours, course)),
    }
    for name, columns in modalities.items():
        columns = _with_missing_cells(columns, stream(f"missing_{name}"), trial.missing_value)
        had = stream(f"had_{name}").random(patients) >= trial.missing_modality
        rows = np.repeat(had, len(columns["day"]) // patients) if "day" in columns else had
        rows_of = np.repeat(identifiers, len(rows) // patients)
        tables[f"{name}.parquet"] = _table(
            rows_of[rows], {column: values[rows] for column, values in columns.items()}
        )
    return tables


def _course(trial: SyntheticTrial, stream: Stream, tumours: Tumours) -> _Course:
    """Draw regimens and potential responses, the latter on one uniform number per patient."""
    patients = len(tumours.stage)
    probability = response_probability(tumours, trial.heterogeneity)
    chosen = propensity(tumours, trial.assignment is Assignment.CONFOUNDED)
    lot = stream("assignment").random(patients)
    received = (lot[:, None] >= np.cumsum(chosen, axis=1)[:, :-1]).sum(axis=1)
    # Hospitals recruit unequally, the first about three times as many as the last.
    recruitment = np.cumsum(np.linspace(3.0, 1.0, trial.sites))
    site = np.searchsorted(
        recruitment[:-1] / recruitment[-1], stream("site").random(patients), side="right"
    )
    return _Course(
        probability=probability,
        propensity=chosen,
        response=stream("response").random(patients)[:, None] < probability,
        received=received,
        site=site,
        enrolled_day=np.floor(2190.0 * stream("enrolled").random(patients)),
    )


def _clinical(
    trial: SyntheticTrial, stream: Stream, tumours: Tumours, course: _Course
) -> dict[str, NDArray[Any]]:
    patients = len(tumours.stage)
    age_with_spread = tumours.age_years + 3.0 * stream("menopause").standard_normal(patients)
    menopause = np.searchsorted([47.0, 52.0], age_with_spread)
    measured = {
        "age_years": np.floor(tumours.age_years),
        "menopausal_status": _MENOPAUSE[menopause].astype(object),
        "stage": _STAGES[tumours.stage.astype(int) - 1].astype(object),
    }
    names = np.array([f"site_{number:02d}" for number in range(1, trial.sites + 1)], dtype=object)
    return {
        **_with_missing_cells(measured, stream("missing_clinical"), trial.missing_value),
        "hr_positive": tumours.hr_positive.astype(np.int8),
        "her2_positive": tumours.her2_positive.astype(np.int8),
        "site": names[course.site],
        "enrolled_day": course.enrolled_day.astype(np.int32),
    }


def _genomics(stream: Stream, tumours: Tumours) -> dict[str, NDArray[Any]]:
    """Return mutation calls that miss three in a hundred, and noisy copy numbers and burden."""
    patients = len(tumours.stage)
    called = tumours.mutations * (stream("call").random(tumours.mutations.shape) < 0.97)
    noise = stream("copy_noise").standard_normal(tumours.copies.shape)
    copies = np.round(np.maximum(tumours.copies * (1.0 + 0.08 * noise), 0.0), 2)
    counted = tumours.burden * np.exp(0.2 * stream("burden_noise").standard_normal(patients))
    return {
        **{f"{gene}_mutation": called[:, position] for position, gene in enumerate(DRIVERS)},
        **{
            f"{gene}_copy_number": copies[:, position] for position, gene in enumerate(COPY_NUMBERS)
        },
        "tumour_mutational_burden": np.round(counted, 2),
    }


def _transcriptomics(
    stream: Stream, lab: Laboratory, tumours: Tumours, course: _Course
) -> dict[str, NDArray[Any]]:
    """Return baseline + loading x activity + batch effect + noise [log2_tpm]."""
    patients = len(tumours.stage)
    expression = stream("expression").standard_normal((patients, len(lab.genes)), dtype=np.float32)
    expression *= lab.noise
    expression += lab.baseline
    expression += lab.shift[course.site]
    expression += tumours.activities.astype(np.float32)[:, lab.pathway] * lab.loading
    np.clip(expression, 0.0, None, out=expression)
    np.round(expression, 2, out=expression)
    columns = np.asfortranarray(expression)
    return {gene: columns[:, position] for position, gene in enumerate(lab.genes)}


def _radiomics(stream: Stream, tumours: Tumours, course: _Course) -> dict[str, NDArray[Any]]:
    """Return four visits per patient; how the tumour shrinks depends on the regimen received."""
    shape = (len(tumours.stage), len(VISIT_DAYS))
    probability = course.under_received(course.probability)
    response = course.under_received(course.response)
    pace = np.exp(0.2 * stream("pace").standard_normal(shape[0]))
    per_day = 0.003 - 0.02 * probability * pace - 0.012 * response
    log_volume = (
        1.6 + 0.5 * (tumours.stage - 2.0) + 0.6 * stream("volume").standard_normal(shape[0])
    )
    noise = stream("radiomics_noise").standard_normal((*shape, 4))
    days = np.array(VISIT_DAYS)
    volume = np.exp(log_volume[:, None] + per_day[:, None] * days + 0.12 * noise[..., 0])
    mesenchymal = tumours.marker("mesenchymal")[:, None]
    sphericity = np.clip(0.72 - 0.05 * mesenchymal + 0.06 * noise[..., 1], 0.2, 0.99)
    diameter = (6.0 * volume / np.pi) ** (1.0 / 3.0) * (1.6 - 0.6 * sphericity)
    young = np.clip(60.0 - tumours.age_years, 0.0, None)[:, None]
    enhancement = (12.0 + 0.8 * young) * np.exp(-0.002 * days + 0.25 * noise[..., 2])
    return {
        "day": np.tile(days, shape[0]),
        "tumour_volume_cm3": np.round(np.maximum(volume, 0.01), 3).ravel(),
        "sphericity": np.round(sphericity, 3).ravel(),
        "longest_diameter_cm": np.round(diameter * (1.0 + 0.04 * noise[..., 3]), 2).ravel(),
        "background_enhancement_percent": np.round(np.minimum(enhancement, 100.0), 1).ravel(),
    }


def _outcome(stream: Stream, tumours: Tumours, course: _Course) -> dict[str, NDArray[Any]]:
    """Return response and progression, censored at the data cut-off or when follow-up is lost."""
    response = course.under_received(course.response)
    without, with_response = progression_hazard(tumours)
    wait = -np.log1p(-stream("progression").random(len(response)))
    progression = wait / np.where(response, with_response, without)
    lost = -np.log1p(-stream("lost").random(len(response))) * 7300.0
    censored = np.minimum(2920.0 - course.enrolled_day, lost)
    return {
        "pcr": response.astype(np.int8),
        "pfs_days": np.ceil(np.maximum(np.minimum(progression, censored), 1.0)).astype(np.int32),
        "pfs_event": (progression <= censored).astype(np.int8),
    }


def _truth(tumours: Tumours, course: _Course) -> dict[str, NDArray[Any]]:
    days = restricted_mean_days(tumours, course.probability)
    columns: dict[str, NDArray[Any]] = {}
    for position, arm in enumerate(REGIMENS):
        columns[f"p_response::{arm}"] = course.probability[:, position]
        columns[f"response::{arm}"] = course.response[:, position].astype(np.int8)
        columns[f"pfs_days::{arm}"] = days[:, position]
        columns[f"propensity::{arm}"] = course.propensity[:, position]
    for position, pathway in enumerate(PATHWAYS):
        columns[f"activity::{pathway}"] = tumours.activities[:, position]
    return columns


def _with_missing_cells(
    columns: dict[str, NDArray[Any]], random: np.random.Generator, share: float
) -> dict[str, NDArray[Any]]:
    """Return the columns with a share of the cells not measured; the visit's day is kept."""
    names = [name for name in columns if name != "day"]
    rows = len(columns[names[0]])
    lost = np.asfortranarray(random.random((rows, len(names)), dtype=np.float32) < share)
    kept = dict(columns)
    for position, name in enumerate(names):
        empty: Any = None if columns[name].dtype == object else np.nan
        kept[name] = np.where(lost[:, position], empty, columns[name])
    return kept


def _table(identifiers: NDArray[Any], columns: dict[str, NDArray[Any]]) -> pa.Table:
    """Return an arrow table; a number that was not measured is NaN, a text is null."""
    arrays = [pa.array(identifiers, pa.string())]
    for values in columns.values():
        arrays.append(pa.array(values, pa.string()) if values.dtype == object else pa.array(values))
    return pa.Table.from_arrays(arrays, ["patient_id", *columns])
