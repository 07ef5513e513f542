"""Tables without what may not be used: a refused patient's rows, and a modality withheld."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from omics_twin.intake.channels import Channel, Variants
from omics_twin.intake.repeated import Repeated
from omics_twin.intake.tables import Tables
from omics_twin.trust.consent import Permission


def modalities_of(tables: Tables) -> tuple[str, ...]:
    """Return what was measured, by the names under which a patient can withhold it."""
    named = [each.modality for each in tables.channels.values()]
    return tuple(dict.fromkeys([*named, *tables.variants, *tables.repeated]))


def permitted_tables(tables: Tables, permission: Permission) -> Tables:
    """Return tables whose measurements are those that may be used.

    The roster, and who on it received and had what, stay: whoever builds a cohort leaves out the
    refused by name.
    """
    if not permission.refused and not permission.withheld:
        return tables
    told = []
    for name in modalities_of(tables):
        count = sum(name in each for each in permission.withheld.values())
        if count:
            told.append(f"modality '{name}' is withheld by {count} patients and not used of them")
    channels = {n: _channel(e, permission.without(e.modality)) for n, e in tables.channels.items()}
    variants = {n: _variants(e, permission.without(n)) for n, e in tables.variants.items()}
    repeated = {n: _repeated(e, permission.without(n)) for n, e in tables.repeated.items()}
    return replace(
        tables,
        # What nobody lets be used is as if nobody had been measured.
        channels={name: each for name, each in channels.items() if len(each.values)},
        variants={name: each for name, each in variants.items() if each.assayed},
        repeated={name: each for name, each in repeated.items() if len(each.days)},
        notes=(*tables.notes, *told),
        fingerprint=_fingerprint(tables, permission),
    )


def _fingerprint(tables: Tables, permission: Permission) -> str:
    """Return what tells these tables from those of other patients: no run goes on from theirs."""
    left_out = {"refused": sorted(permission.refused), "withheld": dict(permission.withheld)}
    text = json.dumps([tables.fingerprint, left_out], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _channel(channel: Channel, without: Collection[str]) -> Channel:
    kept = ~channel.values.index.isin(list(without))
    if kept.all():
        return channel
    return replace(channel, values=channel.values[kept], days=channel.days[kept])


def _variants(variants: Variants, without: Collection[str]) -> Variants:
    gone = set(without)
    return replace(
        variants,
        assayed=tuple(patient for patient in variants.assayed if patient not in gone),
        calls=variants.calls[~variants.calls["patient_id"].isin(gone)].reset_index(drop=True),
        panel_of={each: panel for each, panel in variants.panel_of.items() if each not in gone},
    )


def _repeated(repeated: Repeated, without: Collection[str]) -> Repeated:
    return repeated.at(np.flatnonzero(~np.isin(repeated.patient_ids, list(without))))
