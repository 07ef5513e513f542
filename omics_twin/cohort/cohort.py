"""Who is in the cohort, what was measured, given and seen? Nobody without permission."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import mudata
import numpy as np
import pandas as pd
from anndata import AnnData

from omics_twin.cohort.activity import with_activity
from omics_twin.cohort.genomics import mutation_matrix
from omics_twin.cohort.symbols import reconcile_calls, reconcile_channel
from omics_twin.cohort.transcriptomics import normalise_counts
from omics_twin.cohort.withheld import permitted_tables
from omics_twin.errors import CohortError, about, nearest, quoted
from omics_twin.intake.channels import Channel
from omics_twin.intake.declaration import ColumnDeclaration, Kind
from omics_twin.intake.outcomes import Outcome
from omics_twin.intake.repeated import Repeated
from omics_twin.intake.tables import Tables
from omics_twin.trust.consent import Permission


@dataclass(frozen=True)
class Cohort:
    """Permitted patients with their measurements, therapies and outcomes.

    Attributes
    ----------
    name
        The cohort's name.
    measurements
        One AnnData per channel, which holds the patients measured in it. ``X``: number and
        binary columns with NaN. ``obs``: the category columns and ``day`` [day]. ``var``: kind,
        unit, log and declared range of each column of ``X``; ``uns["categories"]``: the category
        columns.
        ``uns`` also has ``modality``, ``visit_day`` [day], ``minimum_frequency``,
        ``window_days`` [day], ``absent_value`` (of a feature that the channel does not list,
        NaN: not measured) and ``not_in_all_parts`` (columns that some parts do not list).
    patient_ids
        Patients in the order of the roster.
    received
        Arm by patient, NA where unknown; ``None`` where there is no therapy table.
    outcomes
        Outcomes by name, values in the order of ``patient_ids``.
    groups, strata
        (patient, role or policy group) and (patient, stratum column), text with NA.
    left_out
        Reason by patient of the roster who is not in the cohort.
    repeated
        What was measured on any days, one AnnData per modality with a row per patient and visit:
        ``obs`` has ``patient_id`` and ``day`` [day], a patient's rows in order; ``var`` as above.
    doses
        What was given, a row per administration as in
        :class:`~omics_twin.intake.tables.Tables`; ``None`` where it is not declared.
    permission, notes, fingerprint
        On what basis, what was told while reading, and which files.
    """

    name: str
    measurements: mudata.MuData
    patient_ids: tuple[str, ...]
    received: pd.Series | None
    outcomes: Mapping[str, Outcome]
    groups: pd.DataFrame
    strata: pd.DataFrame
    left_out: Mapping[str, str]
    permission: Permission
    notes: tuple[str, ...]
    fingerprint: str
    repeated: Mapping[str, AnnData] = field(default_factory=dict)
    doses: pd.DataFrame | None = None

    def select(self, patient_ids: Sequence[str]) -> Cohort:
        """Return the cohort of some of its patients, in the order given.

        A channel in which none of them was measured is not in the answer.

        Raises
        ------
        CohortError
            If a patient is not in the cohort or is asked for twice.
        """
        chosen = pd.Index(list(patient_ids), dtype=object)
        if chosen.has_duplicates:
            twice = chosen[chosen.duplicated()].unique()
            told = f"patients {quoted(twice)} are selected twice: select each once"
            raise CohortError(about(told, *twice))
        positions = pd.Index(list(self.patient_ids), dtype=object).get_indexer(chosen)
        if (positions < 0).any():
            raise CohortError(self._stranger(str(chosen[positions < 0][0])))
        if not len(chosen):
            raise CohortError(f"no patient of cohort '{self.name}' is selected: select some")
        return replace(
            self,
            measurements=_joined(
                {
                    name: part[chosen[chosen.isin(part.obs_names)]].copy()
                    for name, part in self.measurements.mod.items()
                }
            ),
            patient_ids=tuple(str(each) for each in chosen),
            received=None if self.received is None else self.received.iloc[positions],
            outcomes={name: each.at(positions) for name, each in self.outcomes.items()},
            groups=self.groups.iloc[positions],
            strata=self.strata.iloc[positions],
            repeated={
                name: part[part.obs["patient_id"].isin(chosen)].copy()
                for name, part in self.repeated.items()
            },
            doses=None
            if self.doses is None
            else self.doses[self.doses["patient_id"].isin(chosen)].reset_index(drop=True),
        )

    def all_received(self, arm: str) -> Cohort:
        """Return the cohort in which everybody received one arm, as in a single-arm study."""
        index = pd.Index(self.patient_ids, name="patient_id")
        return replace(self, received=pd.Series(arm, index=index, name="arm", dtype="string"))

    def _stranger(self, patient: str) -> str:
        if patient in self.left_out:
            told = (
                f"patient '{patient}' is not in cohort '{self.name}' ({self.left_out[patient]}): "
                "select other patients"
            )
            return about(told, patient)
        close = nearest(patient, self.patient_ids)
        told = f"patient '{patient}' is not in cohort '{self.name}'{close}"
        return about(told, patient, *re.findall(r"'([^']*)'", close))


def build_cohort(tables: Tables, permission: Permission) -> Cohort:
    """Return the cohort of the permitted patients; the only way to one.

    Parameters
    ----------
    tables
        Checked tables.
    permission
        Who may be used; every patient of the roster must have been asked about.

    Returns
    -------
    Cohort
        Refused patients and patients without any measurement are left out by name; what a patient
        withholds was not measured in that patient.

    Raises
    ------
    CohortError
        If the permission does not speak about a patient, or nobody is left.
    """
    granted = set(permission.granted)
    unasked = [p for p in tables.patient_ids if p not in granted and p not in permission.refused]
    if unasked:
        told = (
            f"the permission says nothing about patients {quoted(unasked)} of cohort "
            f"'{tables.name}': ask for permission for the whole roster"
        )
        raise CohortError(about(told, *unasked))
    tables = permitted_tables(tables, permission)
    channels, notes = _features(tables)
    measured = {patient for channel in channels for patient in channel.values.index}
    measured |= {patient for each in tables.repeated.values() for patient in each.patient_ids}
    left_out = {}
    for patient in tables.patient_ids:
        if patient in permission.refused:
            left_out[patient] = permission.refused[patient]
        elif patient not in measured:
            left_out[patient] = "nothing was measured"
    kept = np.array([patient not in left_out for patient in tables.patient_ids])
    if not kept.any():
        raise CohortError(
            f"no patient of cohort '{tables.name}' is left: {len(left_out)} were refused or have "
            "no measurement; check the tables and the consent ledger"
        )
    positions = np.flatnonzero(kept)
    patients = tuple(tables.patient_ids[position] for position in positions)
    order = pd.Index(patients, dtype=object)
    return Cohort(
        name=tables.name,
        measurements=_joined({channel.name: _annotated(channel, order) for channel in channels}),
        patient_ids=patients,
        received=None if tables.received is None else tables.received.iloc[positions],
        outcomes={name: each.at(positions) for name, each in tables.outcomes.items()},
        groups=tables.groups.iloc[positions],
        strata=tables.strata.iloc[positions],
        left_out=left_out,
        permission=permission,
        notes=(*tables.notes, *notes),
        fingerprint=tables.fingerprint,
        repeated={name: _visits(each, patients) for name, each in tables.repeated.items()},
        doses=None
        if tables.doses is None
        else tables.doses[tables.doses["patient_id"].isin(order)].reset_index(drop=True),
    )


def _visits(repeated: Repeated, patients: Sequence[str]) -> AnnData:
    """Return the visits of some patients as AnnData, a row for each."""
    kept = repeated.at(np.flatnonzero(np.isin(repeated.patient_ids, patients)))
    order = [f"visit {row}" for row in range(len(kept.days))]
    return AnnData(
        X=kept.values.to_numpy(dtype=np.float64),
        obs=pd.DataFrame({"patient_id": kept.patient_ids, "day": kept.days}, index=order),
        var=_described(kept.columns, list(kept.values)),
    )


def _features(tables: Tables) -> tuple[list[Channel], list[str]]:
    """Return the channels with what is made of each patient's own measurements, and what to tell.

    Nothing here is fitted: a single new patient gets the same features as within a cohort.
    """
    measured = [reconcile_channel(channel) for channel in tables.channels.values()]
    called = [reconcile_calls(variants) for variants in tables.variants.values()]
    channels = with_activity([normalise_counts(channel) for channel, _ in measured])
    channels += [mutation_matrix(variants) for variants, _ in called]
    told = [line for _, lines in (*measured, *called) for line in lines]
    return channels, list(dict.fromkeys(told))


def _annotated(channel: Channel, order: pd.Index) -> AnnData:
    """Return a channel as AnnData, its patients in the cohort's order."""
    values = channel.values.reindex(order[order.isin(channel.values.index)])
    days = channel.days.reindex(values.index)
    numeric = [name for name, each in channel.columns.items() if each.kind is not Kind.CATEGORY]
    categories = [name for name in channel.columns if name not in set(numeric)]
    obs = values[categories].astype("category")
    obs["day"] = days.to_numpy()
    matrix = values[numeric].to_numpy() if numeric else np.zeros((len(values), 0))
    return AnnData(
        X=matrix.astype(np.result_type(matrix, np.float32), copy=False),
        obs=obs.rename_axis(None),
        var=_described(channel.columns, numeric),
        uns={
            "modality": channel.modality,
            "visit_day": channel.visit_day,
            "minimum_frequency": channel.minimum_frequency,
            "absent_value": channel.absent_value,
            "window_days": channel.window_days,
            "categories": categories,
            "not_in_all_parts": sorted(channel.not_in_all_parts),
        },
    )


def _described(columns: Mapping[str, ColumnDeclaration], names: Sequence[str]) -> pd.DataFrame:
    """Return kind, unit, log and declared range of each column, NaN where it has no end."""
    return pd.DataFrame(
        {
            "kind": [columns[name].kind.value for name in names],
            "unit": [columns[name].unit for name in names],
            "log": np.array([columns[name].log for name in names], dtype=bool),
            "minimum": np.array([columns[name].minimum for name in names], dtype=float),
            "maximum": np.array([columns[name].maximum for name in names], dtype=float),
        },
        index=pd.Index(names, dtype=object),
    )


def _joined(parts: dict[str, AnnData]) -> mudata.MuData:
    """Return the channels in which somebody was measured as one MuData."""
    measured = {name: part for name, part in parts.items() if part.n_obs}
    with warnings.catch_warnings(), mudata.set_options(pull_on_update=False):
        # Visits of one modality share their feature names on purpose.
        warnings.filterwarnings("ignore", message=".*var_names.*", category=UserWarning)
        return mudata.MuData(measured)
