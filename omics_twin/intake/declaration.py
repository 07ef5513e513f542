"""What a cohort's files are declared to hold; the schema of ``conf/cohort/<name>.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """How a column is read and encoded."""

    NUMBER = "number"
    BINARY = "binary"
    CATEGORY = "category"


class Layout(Enum):
    """One row per patient, per patient and scheduled visit, per visit on any day, or per call."""

    WIDE = "wide"
    VISITS = "visits"
    REPEATED = "repeated"
    VARIANTS = "variants"


class GeneNames(Enum):
    """What the columns that are genes are called: as written, or by their approved symbols."""

    AS_WRITTEN = "as_written"
    SYMBOLS = "symbols"


class OutcomeKind(Enum):
    """What an outcome is, which decides head, loss, metrics and baselines."""

    BINARY = "binary"
    TIME_TO_EVENT = "time_to_event"
    CONTINUOUS = "continuous"


class Assignment(Enum):
    """How patients of a cohort came to their therapy: by lot, or by choice."""

    RANDOMISED = "randomised"
    OBSERVATIONAL = "observational"


class CohortFormat(Enum):
    """How a cohort's files are laid out: tables that are declared, or a study that says so."""

    TABLES = "tables"
    CBIOPORTAL = "cbioportal"


class NamedBy(Enum):
    """What names the patient of a VCF file: the sample in its header, or the file itself."""

    SAMPLE = "sample"
    FILE = "file"


class UnknownLevel(Enum):
    """What happens to a category value outside the declared vocabulary."""

    REFUSE = "refuse"
    REPORT = "report"


@dataclass
class ColumnDeclaration:
    """One measured column.

    Attributes
    ----------
    kind
        Number, binary (two values, see ``positive``) or category.
    unit, convert_to
        Unit in the file and, where it differs, the unit to convert to.
    minimum, maximum
        Values outside are refused by name; in the unit of the file.
    levels
        A category's vocabulary as raw value -> level. Empty: the levels of the training patients.
    unknown_level
        Refuse a value outside ``levels``, or read it as not measured and report it by name.
    positive, negative
        The two values of a binary column.
    presence
        Of a binary column: whatever is written in a cell means yes, an empty cell no.
    log
        Take log1p of a non-negative, skewed quantity.
    missing
        Strings that mean "not measured" beside the empty cell.
    optional
        Where the table has no such column, it was measured in nobody, and that is noted.
    too_small
        For repeated measurements: strings that mean "seen, but too small to measure". They become
        a binary column of their own, ``<name>_too_small``, beside a number that is not known.
    """

    kind: Kind = Kind.NUMBER
    unit: str = "1"
    convert_to: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    levels: dict[str, str] = field(default_factory=dict)
    unknown_level: UnknownLevel = UnknownLevel.REFUSE
    positive: str = "1"
    negative: str = "0"
    presence: bool = False
    log: bool = False
    missing: list[str] = field(default_factory=list)
    optional: bool = False
    too_small: list[str] = field(default_factory=list)


@dataclass
class LongDeclaration:
    """How a table with one quantity per row tells which it is.

    Attributes
    ----------
    name_column, value_column
        Columns of the quantity's name, which is a column of the modality, and of its value.
    unit_column, units
        Column of the unit, and unit as written -> as it is called here; a row of another unit than
        declared for its quantity is refused.
    """

    name_column: str = ""
    value_column: str = ""
    unit_column: str | None = None
    units: dict[str, str] = field(default_factory=dict)


@dataclass
class VcfDeclaration:
    """Whose the samples of VCF files are, and what an uncalled genotype means.

    Attributes
    ----------
    named_by
        ``SAMPLE``: by the name of the sample, so that a file may hold many; ``FILE``: by the name
        of the file up to ``.vcf``, which then holds one tumour.
    name_column
        A column of the roster that holds these names; null: they are the patients' own.
    tumour
        What the tumour's sample is called where a file also holds a normal one; null: what the
        lines ``##tumor_sample`` and ``##normal_sample`` say (Mutect2), else every sample counts.
    uncalled_is_wild_type
        Whether a genotype that was not called, ``./.``, is read as no mutation: right for files
        that were merged from one per patient, where it stands for no record. Otherwise the gene
        was not measured in the patient, unless another call of it was made.
    """

    named_by: NamedBy = NamedBy.SAMPLE
    name_column: str | None = None
    tumour: str | None = None
    uncalled_is_wild_type: bool = False


@dataclass
class ModalityDeclaration:
    """One modality and the table it is read from.

    Attributes
    ----------
    table
        File name below the cohort's root; ``.csv``, ``.tsv``, ``.parquet``, the first two also
        with ``.gz``.
    optional
        Where the file is not there, the modality was measured in nobody, and that is noted.
    columns
        Declared columns by name.
    other_columns
        How every column that is not declared is read; null: only declared columns are read.
    exclude
        Columns that ``other_columns`` does not cover.
    day_column, schedule
        For visits: the day since the index date, and the scheduled days [day]. A wide table with
        a day column is a baseline table: a day after the index date is refused.
    window_days
        A visit farther than this from every scheduled day is refused [day]. A visit after the
        index date is never matched to a scheduled day on or before it.
    day_unit, incomplete
        For repeated measurements: the unit of ``day_column``; and whether a row without a day, or
        a second row for the same day, is refused, or left out and reported by name.
    long
        For repeated measurements: one quantity per row instead of one per column.
    gene_column, effect_column, counted_effects, fraction_column
        For variants: the gene symbol; which effects count; the allele fraction.
    measured_column, measured_value
        For variants: a column of the roster table and the value that says a patient was assayed.
        A patient assayed without a call is wild type; one not assayed is not measured.
    panel_column, panels
        For variants: a column of the roster table that names each patient's gene panel, empty
        where every gene was sequenced; and the genes of each panel. Without the column, the one
        panel is everybody's. A gene that is not on a patient's panel is not measured, and one in
        which a call has the effect ``not_called`` was not in that patient.
    vcf
        For variants: ``table`` is a VCF file, or a folder of them, annotated by VEP or SnpEff,
        and no column of it is declared. Who is in no file was not measured.
    by_consequence, consequences
        For variants: also tell, for each gene, whether a call truncates its protein, and count the
        calls of each class; and effect -> class for effects that are named or meant otherwise
        than ``intake/consequences.py`` has them.
    covered_megabases
        For variants: how much was sequenced in everybody [Mb]; the number of counted calls is
        then given per megabase, the tumour mutational burden.
    gene_positions
        For modality ``segments`` of a study: a file of the cohort with a header and, for each
        gene, its symbol, chromosome, start and end, in the study's reference genome. A gene's
        value is the mean of the segments over it.
    minimum_frequency
        Binary features rarer than this share of the training patients are not used.
    batch_column
        For a wide table of many genes: a column of the roster that says in which batch (plate,
        centre, platform) a patient was measured. What a batch adds to each gene is learned from
        the training patients and taken off.
    genes
        Whether genes, which are the columns read by ``other_columns`` or those of the calls, are
        named as written or by approved symbols (old symbols, lower case, spreadsheets' dates).
    aliases
        With ``genes: SYMBOLS``, a file of the cohort with a header and two columns, old and
        approved symbol; it goes before the list of well-known renames.
    activity
        A file of gene sets (GMT). How active each set is in a patient, by the ranks of its genes
        among the genes of the table, becomes modality ``<name>_activity``.
    """

    table: str = ""
    optional: bool = False
    layout: Layout = Layout.WIDE
    columns: dict[str, ColumnDeclaration] = field(default_factory=dict)
    other_columns: ColumnDeclaration | None = None
    exclude: list[str] = field(default_factory=list)
    day_column: str | None = None
    schedule: list[float] = field(default_factory=list)
    window_days: float = 14.0
    day_unit: str = "day"
    incomplete: UnknownLevel = UnknownLevel.REFUSE
    long: LongDeclaration | None = None
    gene_column: str | None = None
    effect_column: str | None = None
    counted_effects: list[str] = field(default_factory=list)
    fraction_column: str | None = None
    measured_column: str | None = None
    measured_value: str | None = None
    panel_column: str | None = None
    panels: dict[str, list[str]] = field(default_factory=dict)
    vcf: VcfDeclaration | None = None
    by_consequence: bool = False
    consequences: dict[str, str] = field(default_factory=dict)
    covered_megabases: float | None = None
    gene_positions: str | None = None
    minimum_frequency: float = 0.0
    batch_column: str | None = None
    genes: GeneNames = GeneNames.AS_WRITTEN
    aliases: str | None = None
    activity: str | None = None


@dataclass
class TherapyDeclaration:
    """Which therapy each patient received.

    Attributes
    ----------
    arm_column
        Column holding the arm's name, or
    agent_columns
        column -> agent for tables with one 0/1 column per agent; the arm's name is then the
        agents in the declared order joined by `` + ``.
    always
        Agents that every patient of the cohort received; with ``agent_columns``, named first.
    """

    table: str = ""
    arm_column: str | None = None
    agent_columns: dict[str, str] = field(default_factory=dict)
    always: list[str] = field(default_factory=list)


@dataclass
class DosesDeclaration:
    """Which doses each patient was given, and on which days; rows without an amount are none.

    Attributes
    ----------
    drug, unit
        What was given, by its international non-proprietary name, and the unit of the amount.
    day_column, amount_column, duration_column
        Day since the index date, amount, and length of an infusion [day]; an empty cell or no
        column: a bolus.
    unit_column
        Column of the unit; a row of another one is refused.
    gray_column
        Column of the fraction of radiotherapy given on that day, if any [Gy].
    """

    table: str = ""
    drug: str = ""
    unit: str = "mg"
    day_column: str = ""
    amount_column: str = ""
    unit_column: str | None = None
    duration_column: str | None = None
    gray_column: str | None = None


@dataclass
class StackDeclaration:
    """One table whose rows are in several files of the same form, one for each group of patients.

    Attributes
    ----------
    files
        Group -> file name below the cohort's root. A group whose file is not there has no
        patients, which is noted; a column that some of the files lack is empty in them.
    column
        What the column that says the group is called.
    """

    files: dict[str, str] = field(default_factory=dict)
    column: str = "group"


@dataclass
class OutcomeDeclaration:
    """One outcome.

    Attributes
    ----------
    value_column
        The value (binary, continuous) or the time (time to event) in ``unit``.
    event_column, event_value, censored_value
        Time to event: the column that tells events from censored times and its two values.
    also_events
        Further values that count as the event, of an endpoint made of several.
    competing_values
        Values that are another kind of event, after which this one can no longer come: death of
        another cause. Who had one never has the event asked about, and is not censored.
    cause_column, causes
        Kinds of the event that all count, told apart: the column that says of which an event came,
        and each kind's values there by the kind's name. Every kind has a hazard of its own.
    incomplete
        Time to event: refuse a time without its event, or an event without its time, or read it
        as not known and report it by name.
    positive, negative
        The values of a binary outcome that mean yes and no.
    missing
        Strings that mean "not known" beside the empty cell.
    minimum, maximum
        Bounds of a continuous outcome; values outside are refused by name.
    optional
        Where the table has no such columns, or nobody's is known, nobody has the outcome, and
        that is noted.
    """

    table: str = ""
    optional: bool = False
    kind: OutcomeKind = OutcomeKind.BINARY
    value_column: str = ""
    unit: str = "1"
    event_column: str | None = None
    event_value: str | None = None
    censored_value: str | None = None
    also_events: list[str] = field(default_factory=list)
    competing_values: list[str] = field(default_factory=list)
    cause_column: str | None = None
    causes: dict[str, list[str]] = field(default_factory=dict)
    incomplete: UnknownLevel = UnknownLevel.REFUSE
    positive: list[str] = field(default_factory=lambda: ["1"])
    negative: list[str] = field(default_factory=lambda: ["0"])
    missing: list[str] = field(default_factory=list)
    minimum: float | None = None
    maximum: float | None = None


@dataclass
class SourceDeclaration:
    """One public file a cohort was made from.

    Attributes
    ----------
    url, file
        Where it is, and the name it gets below the download folder.
    sha256
        Checksum of the file; null where it is not known, which ``fetch`` refuses unless told
        otherwise.
    terms, citation
        Terms of use of the source, and the publication to cite.
    """

    url: str = ""
    file: str = ""
    sha256: str | None = None
    terms: str = ""
    citation: str = ""


@dataclass
class GroupDeclaration:
    """Groups of patients for whom a simple rule names the best therapy: what a ranking must beat.

    Attributes
    ----------
    table
        File name below the cohort's root; empty: the roster.
    columns
        Patients are in one group if they agree in all of these.
    at_least
        Of one column that holds numbers: those of this and more are one group, the others one.
    missing
        Strings that mean "not known" beside the empty cell.
    """

    table: str = ""
    columns: list[str] = field(default_factory=list)
    at_least: float | None = None
    missing: list[str] = field(default_factory=list)


@dataclass
class KeyDeclaration:
    """How patients are named in one table, where it differs from the others.

    Attributes
    ----------
    column
        Column of the patient; empty: the first column, which has no name or pandas' name for that.
    prefix
        What is put before the cell to make the patient's name in the other tables.
    within
        Columns whose cells are put before the patient's, each followed by ``/``: one name in two
        studies is then two patients.
    repeated
        Refuse a patient with several rows, or keep the first and report the patient by name.
    strangers
        Refuse a patient who is not in the roster, or leave the row out and report it by name.
    """

    column: str = ""
    prefix: str = ""
    within: list[str] = field(default_factory=list)
    repeated: UnknownLevel = UnknownLevel.REFUSE
    strangers: UnknownLevel = UnknownLevel.REFUSE


@dataclass
class FoldsDeclaration:
    """Folds that others have published, so that numbers can be compared with theirs.

    Attributes
    ----------
    table, column
        Where the fold of each patient stands, a whole number from 0. A patient without one is
        never held out.
    """

    table: str = ""
    column: str = "fold"


@dataclass
class CohortDeclaration:
    """A cohort as tidy tables keyed by patient, or as a study that brings its own description.

    Attributes
    ----------
    name, root
        The cohort's name and the folder its files are in.
    parts, part_column
        For a cohort of several folders in the same format, such as cancers: name of the part ->
        its folder, and no ``root``. ``part_column`` is what the part is called as a measurement;
        empty: it is not measured.
    format
        Tables as declared here; or a study in cBioPortal's format, whose meta files say what is
        read: then ``key`` and ``roster`` are not needed, and ``modalities`` and ``outcomes`` only
        restrict or type what the study holds.
    key
        The patient's column in every table,
    keys
        but for these tables: file name -> how patients are named there.
    roster
        The table that lists every patient once; or one of repeated measurements, whose columns
        read as the patient's own must then be the same in all rows of a patient.
    stacks
        Table -> the files it is made of, for tables that are in several files.
    doses
        Amounts and days of what each patient was given, where they are known.
    group_columns
        Role -> roster column for columns that split or describe but are not measured: ``site``,
        ``enrolled`` (a number that orders patients in time), and any for subgroups.
    strata
        Roster columns within which assignment and eligibility are judged.
    assignment
        Whether therapies were given by lot within the strata.
    policy_groups
        Name -> groups for whose best therapies a ranking is compared; read when training.
    folds
        Published folds; read when training.
    sources
        Public files the tables were made from.
    """

    name: str = ""
    title: str = ""
    root: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    part_column: str = ""
    format: CohortFormat = CohortFormat.TABLES
    key: str = "patient_id"
    keys: dict[str, KeyDeclaration] = field(default_factory=dict)
    roster: str = ""
    modalities: dict[str, ModalityDeclaration] = field(default_factory=dict)
    stacks: dict[str, StackDeclaration] = field(default_factory=dict)
    therapy: TherapyDeclaration | None = None
    doses: DosesDeclaration | None = None
    outcomes: dict[str, OutcomeDeclaration] = field(default_factory=dict)
    group_columns: dict[str, str] = field(default_factory=dict)
    strata: list[str] = field(default_factory=list)
    assignment: Assignment = Assignment.OBSERVATIONAL
    policy_groups: dict[str, GroupDeclaration] = field(default_factory=dict)
    folds: FoldsDeclaration | None = None
    sources: list[SourceDeclaration] = field(default_factory=list)
