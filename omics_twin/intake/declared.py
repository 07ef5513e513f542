"""Does a cohort's declaration contradict itself? Asked before any file is opened."""

from __future__ import annotations

import math

from omics_twin.errors import ConfigError, IntakeError, nearest, quoted
from omics_twin.intake.columns import canonical
from omics_twin.intake.consequences import CLASSES
from omics_twin.intake.declaration import (
    CohortDeclaration,
    CohortFormat,
    ColumnDeclaration,
    DosesDeclaration,
    GeneNames,
    GroupDeclaration,
    Kind,
    Layout,
    ModalityDeclaration,
    OutcomeDeclaration,
    OutcomeKind,
    TherapyDeclaration,
)
from omics_twin.intake.groups import FOLD, PART
from omics_twin.units import conversion

# As many as a picture of them can show.
_MOST_CAUSES = 6


def check_declaration(declaration: CohortDeclaration) -> None:
    """Refuse a declaration that cannot be met by any file.

    Raises
    ------
    ConfigError
        If something needed is not declared or two statements contradict each other.
    """
    cohort = f"cohort '{declaration.name}'"
    check_parts(declaration)
    needed = ("name", "key", "roster") if declaration.parts else ("name", "root", "key", "roster")
    for setting in needed:
        if not getattr(declaration, setting):
            raise ConfigError(f"{cohort} declares no '{setting}': set it in the cohort's file")
    if not declaration.modalities:
        raise ConfigError(f"{cohort} declares no modality: declare at least one")
    for name, modality in declaration.modalities.items():
        if modality.vcf is not None and declaration.format is not CohortFormat.TABLES:
            raise ConfigError(
                f"{cohort}, modality '{name}' has 'vcf', but the calls of a study in cBioPortal's "
                "format are its MAF: use format: TABLES for VCF files"
            )
        _check_modality(f"{cohort}, modality '{name}'", modality)
        if modality.gene_positions and declaration.format is CohortFormat.TABLES:
            raise ConfigError(
                f"{cohort}, modality '{name}' has 'gene_positions', which are read for segments of "
                "a study in cBioPortal's format"
            )
    if declaration.therapy is not None:
        _check_therapy(f"{cohort}, therapy", declaration.therapy)
    if declaration.doses is not None:
        _check_doses(f"{cohort}, doses", declaration.doses)
    for name, stack in declaration.stacks.items():
        if not stack.files or not stack.column:
            raise ConfigError(
                f"{cohort}, table '{name}' is made of no file, or its groups have no column: "
                "declare 'files' and 'column'"
            )
    for name, outcome in declaration.outcomes.items():
        _check_outcome(f"{cohort}, outcome '{name}'", outcome)
    if declaration.folds is not None and not declaration.folds.table:
        raise ConfigError(f"{cohort}, folds declare no 'table': name its file")
    if declaration.folds is not None and FOLD in {
        *declaration.policy_groups,
        *declaration.group_columns,
    }:
        raise ConfigError(f"{cohort} declares folds and a group '{FOLD}': rename the group")
    for name, group in declaration.policy_groups.items():
        _check_group(f"{cohort}, policy group '{name}'", group)
        if name in declaration.group_columns:
            raise ConfigError(f"{cohort} declares '{name}' twice, also under 'group_columns'")


def check_parts(declaration: CohortDeclaration) -> None:
    """Refuse parts that contradict the rest of a declaration.

    Raises
    ------
    ConfigError
        If a root is declared beside them, or one of their names is taken.
    """
    cohort = f"cohort '{declaration.name}'"
    if not declaration.parts:
        if declaration.part_column:
            raise ConfigError(
                f"{cohort} declares part_column '{declaration.part_column}' but no 'parts': "
                "declare the folder of each part or leave it out"
            )
        return
    if declaration.root:
        raise ConfigError(
            f"{cohort} declares both a root and {len(declaration.parts)} parts, expected one of "
            "the two: set root to ''"
        )
    for name, root in declaration.parts.items():
        if not name or not root:
            raise ConfigError(f"{cohort}, part '{name}' has folder '{root}', expected both named")
    if PART in {*declaration.policy_groups, *declaration.group_columns}:
        raise ConfigError(f"{cohort} declares parts and a group '{PART}': rename the group")
    if declaration.part_column in declaration.modalities:
        raise ConfigError(
            f"{cohort} declares '{declaration.part_column}' both as part_column and as a "
            "modality: rename one"
        )


def _check_group(where: str, group: GroupDeclaration) -> None:
    if not group.columns:
        raise ConfigError(f"{where} declares no 'columns': name at least one")
    if group.at_least is not None and len(group.columns) > 1:
        raise ConfigError(
            f"{where} has 'at_least' and {len(group.columns)} columns, expected one column"
        )


def _check_modality(where: str, modality: ModalityDeclaration) -> None:
    if not modality.table:
        raise ConfigError(f"{where} declares no 'table': name its file")
    if not 0.0 <= modality.minimum_frequency < 1.0:
        raise ConfigError(
            f"{where} has minimum_frequency {modality.minimum_frequency:g}, expected a share from "
            "0 up to but not including 1"
        )
    if modality.aliases is not None and modality.genes is GeneNames.AS_WRITTEN:
        raise ConfigError(f"{where} has 'aliases' of genes it names as written: set genes: SYMBOLS")
    if modality.activity is not None and modality.layout is Layout.VARIANTS:
        raise ConfigError(f"{where} has 'activity' of genes that are calls, expected expression")
    for name, column in modality.columns.items():
        _check_column(f"{where}, column '{name}'", column)
        if name in modality.exclude:
            raise ConfigError(
                f"{where} declares column '{name}' and excludes it: keep one of the two"
            )
    if modality.other_columns is not None:
        _check_column(f"{where}, other_columns", modality.other_columns)
    if modality.batch_column is not None and modality.layout is not Layout.WIDE:
        raise ConfigError(f"{where} has 'batch_column' but not one row per patient: remove it")
    if modality.layout is Layout.VISITS:
        _check_schedule(where, modality)
    if modality.layout is Layout.REPEATED:
        _check_repeated(where, modality)
    if modality.layout is Layout.VARIANTS:
        _check_variants(where, modality)
    elif modality.vcf is not None:
        raise ConfigError(f"{where} has 'vcf' but not layout 'variants': set layout: VARIANTS")


def _check_repeated(where: str, modality: ModalityDeclaration) -> None:
    if modality.day_column is None:
        raise ConfigError(f"{where} has layout 'repeated' but no 'day_column': name the column")
    if modality.schedule:
        raise ConfigError(f"{where} has layout 'repeated' and a 'schedule': choose 'visits' for it")
    _check_unit(where, modality.day_unit, "day")
    long = modality.long
    if long is not None and not (long.name_column and long.value_column and modality.columns):
        raise ConfigError(
            f"{where} has one quantity per row but not 'name_column', 'value_column' and 'columns':"
            " declare all three"
        )
    declared = {**modality.columns, "other_columns": modality.other_columns}
    for name, column in declared.items():
        if column is not None and column.kind is Kind.CATEGORY:
            raise ConfigError(
                f"{where}, column '{name}' is a category, expected numbers and binary columns"
            )


def _check_schedule(where: str, modality: ModalityDeclaration) -> None:
    if modality.day_column is None:
        raise ConfigError(f"{where} has layout 'visits' but no 'day_column': name the column")
    if not modality.schedule:
        raise ConfigError(f"{where} has layout 'visits' but no 'schedule': list its days")
    if len(set(modality.schedule)) < len(modality.schedule):
        raise ConfigError(f"{where} lists a scheduled day twice: list each day once")
    if not 0.0 <= modality.window_days < math.inf:
        raise ConfigError(
            f"{where} has window_days {modality.window_days:g}, expected a number of days from 0"
        )


def _check_variants(where: str, modality: ModalityDeclaration) -> None:
    if modality.vcf is not None:
        _check_vcf(where, modality)
    else:
        _check_call_columns(where, modality)
    for effect, named in modality.consequences.items():
        if named not in CLASSES:
            raise ConfigError(
                f"{where}, consequences, has '{named}' for '{effect}'{nearest(named, CLASSES)}"
            )
    covered = modality.covered_megabases
    if covered is not None and not 0.0 < covered < math.inf:
        raise ConfigError(f"{where} has covered_megabases {covered:g}, expected more than 0")
    if covered is not None and len(modality.panels) > 1:
        raise ConfigError(
            f"{where} has one covered_megabases and {len(modality.panels)} gene panels, which "
            "cover different sizes: remove it"
        )
    if (modality.measured_column is None) != (modality.measured_value is None):
        raise ConfigError(
            f"{where} needs both 'measured_column' and 'measured_value' or neither: complete them"
        )
    if modality.panel_column is not None and not modality.panels:
        raise ConfigError(f"{where} has 'panel_column' but no 'panels': declare their genes")
    if modality.panel_column is None and len(modality.panels) > 1:
        raise ConfigError(
            f"{where} has {len(modality.panels)} panels but no 'panel_column': name the column "
            "that says which is whose"
        )
    if modality.columns or modality.other_columns is not None:
        raise ConfigError(f"{where} has layout 'variants', which reads no measured columns")


def _check_call_columns(where: str, modality: ModalityDeclaration) -> None:
    if modality.gene_column is None:
        raise ConfigError(f"{where} has layout 'variants' but no 'gene_column': name the column")
    if (modality.effect_column is None) != (not modality.counted_effects):
        raise ConfigError(
            f"{where} needs both 'effect_column' and 'counted_effects' or neither: complete them"
        )
    if modality.by_consequence and modality.effect_column is None:
        raise ConfigError(f"{where} has 'by_consequence' but no 'effect_column': name the column")


def _check_vcf(where: str, modality: ModalityDeclaration) -> None:
    for setting in ("gene_column", "effect_column", "fraction_column", "measured_column"):
        if getattr(modality, setting) is not None:
            raise ConfigError(
                f"{where} has '{setting}' and 'vcf', whose files say it themselves: remove it"
            )


def _check_column(where: str, column: ColumnDeclaration) -> None:
    _check_unit(where, column.unit, column.convert_to or column.unit)
    if (
        column.minimum is not None
        and column.maximum is not None
        and column.minimum > column.maximum
    ):
        raise ConfigError(
            f"{where} has minimum {column.minimum:g} above maximum {column.maximum:g}: swap them"
        )
    if column.kind is Kind.BINARY and canonical(column.positive) == canonical(column.negative):
        raise ConfigError(
            f"{where} declares '{column.positive}' as both positive and negative: "
            "name two different values"
        )
    if column.too_small and column.kind is not Kind.NUMBER:
        raise ConfigError(f"{where} has 'too_small' in a {column.kind.value} column")
    if column.presence and column.kind is not Kind.BINARY:
        raise ConfigError(f"{where} asks for the presence of a {column.kind.value} column")
    if column.presence and column.optional:
        raise ConfigError(f"{where} has 'presence', where an empty cell means no, and 'optional'")
    if column.log and column.kind is not Kind.NUMBER:
        raise ConfigError(f"{where} asks for the logarithm of a {column.kind.value} column")
    if column.log and column.minimum is not None and column.minimum < 0:
        raise ConfigError(
            f"{where} asks for the logarithm of values from {column.minimum:g}: "
            "set minimum to 0 or more, or log to false"
        )


def _check_unit(where: str, unit: str, wanted: str) -> None:
    try:
        conversion(unit, wanted)
    except IntakeError as error:
        raise ConfigError(f"{where}: {error}") from error


def _check_therapy(where: str, therapy: TherapyDeclaration) -> None:
    if not therapy.table:
        raise ConfigError(f"{where} declares no 'table': name its file")
    if (therapy.arm_column is None) != bool(therapy.agent_columns):
        raise ConfigError(
            f"{where} needs either 'arm_column' or 'agent_columns': declare exactly one"
        )


def _check_doses(where: str, doses: DosesDeclaration) -> None:
    for setting in ("table", "drug", "day_column", "amount_column"):
        if not getattr(doses, setting):
            raise ConfigError(f"{where} declare no '{setting}': set it in the cohort's file")
    _check_unit(where, doses.unit, "mg")


def _check_outcome(where: str, outcome: OutcomeDeclaration) -> None:
    for setting in ("table", "value_column"):
        if not getattr(outcome, setting):
            raise ConfigError(f"{where} declares no '{setting}': set it in the cohort's file")
    if outcome.kind is OutcomeKind.BINARY:
        both = {canonical(each) for each in outcome.positive}
        both &= {canonical(each) for each in outcome.negative}
        if both or not outcome.positive or not outcome.negative:
            raise ConfigError(
                f"{where} has positive {outcome.positive} and negative {outcome.negative}, "
                "expected two lists without a common value"
            )
        known = [*outcome.positive, *outcome.negative]
        contradicted = {canonical(each) for each in known} & set(map(canonical, outcome.missing))
        if contradicted:
            raise ConfigError(
                f"{where} declares {quoted(sorted(contradicted))} as both known and missing: "
                "keep one of the two"
            )
    if outcome.kind is OutcomeKind.TIME_TO_EVENT:
        _check_event(where, outcome)
    elif outcome.causes or outcome.cause_column is not None:
        raise ConfigError(
            f"{where} tells causes apart and is {outcome.kind.value}, expected a time to event: "
            "leave 'causes' and 'cause_column' out"
        )


def _check_event(where: str, outcome: OutcomeDeclaration) -> None:
    for setting in ("event_column", "event_value", "censored_value"):
        if getattr(outcome, setting) is None:
            raise ConfigError(f"{where} is a time to event but declares no '{setting}': set it")
    censored = canonical(outcome.censored_value or "")
    events = (outcome.event_value or "", *outcome.also_events)
    for event in (*events, *outcome.competing_values):
        if canonical(event) == censored:
            raise ConfigError(
                f"{where} declares '{event}' as both event and censored: "
                f"name two different values{nearest(event, ['0', '1'])}"
            )
    both = {canonical(each) for each in events} & {*map(canonical, outcome.competing_values)}
    if both:
        raise ConfigError(
            f"{where} declares {quoted(sorted(both))} as both the event and a competing one: keep "
            "one of the two"
        )
    _check_causes(where, outcome)
    _check_unit(where, outcome.unit, "day")


def _check_causes(where: str, outcome: OutcomeDeclaration) -> None:
    if not outcome.causes and outcome.cause_column is None:
        return
    if outcome.cause_column is None or not 2 <= len(outcome.causes) <= _MOST_CAUSES:
        raise ConfigError(
            f"{where} has cause_column '{outcome.cause_column}' and {len(outcome.causes)} causes, "
            f"expected a column and the values of two to {_MOST_CAUSES} causes: complete or leave "
            "them out"
        )
    if outcome.competing_values:
        raise ConfigError(
            f"{where} has both 'causes', which all count as the event, and 'competing_values', "
            "which do not: keep one of the two"
        )
    meant = [canonical(value) for each in outcome.causes.values() for value in each]
    empty = [name for name, each in outcome.causes.items() if not each]
    if empty or len(set(meant)) < len(meant):
        raise ConfigError(
            f"{where}: causes {quoted(outcome.causes)} have no value or one in common, expected "
            "values of their own for each"
        )
