"""Which genes are mutated in whom? Mutation calls become a patient-by-gene matrix."""

from __future__ import annotations

import numpy as np
import pandas as pd

from omics_twin.errors import CohortError, quoted
from omics_twin.intake.channels import Channel, Variants
from omics_twin.intake.consequences import TRUNCATING
from omics_twin.intake.declaration import ColumnDeclaration, Kind

MUTATION_COUNT = "mutation_count"
BURDEN = "mutations_per_megabase"
HIGHEST_FRACTION = "highest_allele_fraction"
_TRUNCATING = f":{TRUNCATING}"


def mutation_matrix(variants: Variants) -> Channel:
    """Return one binary feature per gene, and the number of counted calls or their burden.

    Parameters
    ----------
    variants
        Calls that count, and the patients who were assayed.

    Returns
    -------
    Channel
        One row per assayed patient; a gene without a call is 0 (wild type), also one that the
        channel does not list (``absent_value``). Off a patient's gene panel it is NaN, as is a gene
        that could not be read in a patient, where no other call of it was made; and a gene on no
        panel is not measured where anybody is on one. No gene is filtered here: how rare is
        too rare is judged on training patients. ``highest_allele_fraction`` is added where it is
        declared, NaN for a patient without a counted call.

        Where the size covered is known, the burden per megabase replaces the number of calls. It
        counts the effects that the cohort counts: compare it with a published threshold only if
        those are the same. Where calls have classes, ``<class>_count`` is added for each, and
        ``<gene>:truncating`` beside a gene that has such calls: the gene itself stays, whatever
        the class, so that one too rarely truncated is still a feature.

    Raises
    ------
    CohortError
        If a gene has the name of one of the added features.

    Examples
    --------
    >>> calls = pd.DataFrame({"patient_id": ["a", "a"], "gene": ["TP53", "TP53"],
    ...                       "fraction": [0.1, 0.2]})
    >>> channel = mutation_matrix(Variants("genomics", ("a", "b"), calls, False, 0.0))
    >>> channel.values["TP53"].tolist(), channel.values["mutation_count"].tolist()
    ([1.0, 0.0], [2.0, 0.0])
    """
    calls, uncalled = _read_and_not(variants.calls)
    index = pd.Index(list(variants.assayed), name="patient_id")
    added, described = _numbers(variants, calls, index)
    reserved = sorted(set(added) & set(calls["gene"]))
    if reserved:
        raise CohortError(
            f"modality '{variants.modality}' has genes named {quoted(reserved)}, which name "
            "features made from the calls: rename the genes"
        )
    used = set(variants.panel_of.values())
    named = {*calls["gene"], *uncalled["gene"]}
    genes = sorted(named.union(*(variants.panels[panel] for panel in used)))
    parts = [_calls_in(variants, calls, uncalled, index, genes)]
    if TRUNCATING in variants.classes:
        truncating = calls[calls["consequence"] == TRUNCATING]
        # Who is on a panel has every gene of it, so that a later patient has the same features.
        told_apart = genes if used else sorted(set(truncating["gene"]))
        apart = _calls_in(variants, truncating, uncalled, index, told_apart)
        parts.append(apart.add_suffix(_TRUNCATING))
    columns = {
        gene: ColumnDeclaration(kind=Kind.BINARY, positive="1", negative="0")
        for part in parts
        for gene in part
    }
    return Channel(
        name=variants.modality,
        modality=variants.modality,
        visit_day=0.0,
        values=pd.concat([*parts, added], axis=1),
        columns=columns | described,
        days=pd.Series(0.0, index=index, name="day"),
        minimum_frequency=variants.minimum_frequency,
        absent_value=float("nan") if used else 0.0,
    )


def _read_and_not(calls: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the calls, and which genes could not be read in whom."""
    if "uncalled" not in calls:
        return calls, calls.iloc[:0]
    # Of a cohort's parts, only some may have genes that were not read.
    uncalled = calls["uncalled"].eq(True)
    return calls[~uncalled], calls[uncalled]


def _numbers(
    variants: Variants, calls: pd.DataFrame, index: pd.Index
) -> tuple[pd.DataFrame, dict[str, ColumnDeclaration]]:
    """Return what is counted of each patient's calls, (patient, number), and its columns."""
    by_patient = calls.groupby("patient_id")["fraction"]
    number = by_patient.size().reindex(index, fill_value=0).astype(float)
    if variants.covered_megabases is None:
        added = {MUTATION_COUNT: number}
        columns = {MUTATION_COUNT: ColumnDeclaration(unit="count", minimum=0.0, log=True)}
    else:
        added = {BURDEN: number / variants.covered_megabases}
        columns = {BURDEN: ColumnDeclaration(unit="1/Mb", minimum=0.0, log=True)}
    for each in variants.classes:
        name = f"{each}_count"
        of_class = calls["patient_id"][calls["consequence"] == each].value_counts()
        added[name] = of_class.reindex(index, fill_value=0).astype(float)
        columns[name] = ColumnDeclaration(unit="count", minimum=0.0, log=True)
    if variants.fraction_declared:
        added[HIGHEST_FRACTION] = by_patient.max().reindex(index)
        columns[HIGHEST_FRACTION] = ColumnDeclaration(unit="fraction", minimum=0.0, maximum=1.0)
    return pd.DataFrame(added, index=index), columns


def _calls_in(
    variants: Variants,
    calls: pd.DataFrame,
    uncalled: pd.DataFrame,
    index: pd.Index,
    genes: list[str],
) -> pd.DataFrame:
    """Return which genes have one of the calls in which patient, (patient, gene)."""
    matrix, names = _wild_type(variants, index, genes), pd.Index(genes)
    unread = uncalled[uncalled["gene"].isin(names)]
    for rows, value in ((unread, np.nan), (calls, 1.0)):
        places = index.get_indexer(rows["patient_id"]), names.get_indexer(rows["gene"])
        matrix[places] = value
    return pd.DataFrame(matrix, index=index, columns=genes)


def _wild_type(variants: Variants, index: pd.Index, genes: list[str]) -> np.ndarray:
    """Return 0 for each gene that was sequenced in a patient, NaN for the others."""
    matrix = np.zeros((len(index), len(genes)))
    panel_of = np.array([variants.panel_of.get(patient, "") for patient in index], dtype=object)
    for panel, listed in variants.panels.items():
        outside = ~np.isin(genes, list(listed))
        matrix[np.ix_(panel_of == panel, outside)] = np.nan
    return matrix
