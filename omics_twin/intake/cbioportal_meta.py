"""What does each meta file of a study say, and may it? Fields, kinds, stable ids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from omics_twin.errors import nearest, quoted, shown
from omics_twin.intake.cbioportal_format import (
    GENOME_BUILDS,
    KINDS,
    RESOURCE_FIELDS,
    RESOURCE_TYPES,
    STUDY_LENGTHS,
    STUDY_OPTIONAL,
    STUDY_REQUIRED,
    FileKind,
)
from omics_twin.intake.cbioportal_text import Mistakes, read_text

_DEFAULT_GENOME = "hg19"


@dataclass(frozen=True)
class Meta:
    """One meta file.

    Attributes
    ----------
    file
        Its name below the study's folder.
    kind
        What the data file is, such as ``samples``, ``matrix`` or ``resource``.
    fields
        Its fields, without those that are empty.
    """

    file: str
    kind: str
    fields: Mapping[str, str]

    @property
    def alteration(self) -> str:
        """The genetic alteration type."""
        return self.fields.get("genetic_alteration_type", "")

    @property
    def datatype(self) -> str:
        """The datatype."""
        return self.fields.get("datatype", "")

    @property
    def data_file(self) -> str:
        """The data file's name."""
        return self.fields.get("data_filename", "")

    @property
    def stable_id(self) -> str:
        """The profile's stable id, empty where it is no profile."""
        return self.fields.get("stable_id", "")


@dataclass
class Study:
    """A study's meta files, and what has been learned of its patients while checking.

    Attributes
    ----------
    root
        The folder.
    about
        Fields of the study's own meta file; empty where there is none.
    metas
        The other meta files whose kind is known.
    mistakes
        What was found so far.
    patient_of
        Patient by sample; ``None`` as long as no sample file was read.
    """

    root: Path
    about: Mapping[str, str]
    metas: tuple[Meta, ...]
    mistakes: Mistakes
    patient_of: dict[str, str] | None = None
    case_lists: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def identifier(self) -> str:
        """The study's identifier, empty where it is not known."""
        return self.about.get("cancer_study_identifier", "")

    @property
    def genome(self) -> str:
        """The study's reference genome, such as ``hg19``; empty where there is no study file."""
        return self.about.get("reference_genome", _DEFAULT_GENOME) if self.about else ""

    @property
    def build(self) -> str:
        """The study's genome build, such as ``GRCh37``; empty where it is not known."""
        return GENOME_BUILDS.get(self.genome, "")

    def of_kind(self, *kinds: str) -> tuple[Meta, ...]:
        """Return the meta files of some kinds."""
        return tuple(meta for meta in self.metas if meta.kind in kinds)

    def check_samples(self, file: str, line: int | None, samples: Iterable[str]) -> None:
        """Note samples that the clinical file does not list."""
        if self.patient_of is None:
            return
        unknown = [each for each in dict.fromkeys(samples) if each not in self.patient_of]
        if unknown:
            self.mistakes.error(
                file,
                line,
                f"samples {quoted(unknown)} are not in the clinical sample file: add them there, "
                "or correct their names",
            )


def read_metas(root: Path, mistakes: Mistakes) -> Study:
    """Return the study that the meta files of a folder describe."""
    about: list[tuple[str, dict[str, str]]] = []
    metas: list[Meta] = []
    for file in sorted(each.name for each in root.iterdir() if is_meta(each)):
        fields = read_fields(root, file, mistakes)
        if fields is None:
            continue
        if "genetic_alteration_type" not in fields and "type_of_cancer" in fields:
            about.append((file, fields))
            _check_study_fields(root, file, fields, mistakes)
        elif _names_a_file(file, fields, mistakes):
            kind = _kind(file, fields, mistakes)
            if kind is not None:
                metas.append(Meta(file, kind, fields))
    _check_one_study(about, metas, mistakes)
    study = Study(root, about[0][1] if about else {}, tuple(metas), mistakes)
    _check_together(study)
    return study


def _names_a_file(file: str, fields: Mapping[str, str], mistakes: Mistakes) -> bool:
    """Return whether what is to be read lies in the study's folder."""
    named = fields.get("data_filename", "")
    if len(named.encode()) <= _LONGEST_FILE_NAME and Path(named).name == named:
        return True
    mistakes.error(
        file, None, f"data_filename is {shown(named)}, expected the name of a file in the folder"
    )
    return False


def is_meta(path: Path) -> bool:
    """Return whether a file is named as a meta file is: ``meta`` is a word of its name."""
    if not path.is_file() or path.name.startswith(".") or path.name.endswith(("~", ".swp")):
        return False
    return any(re.fullmatch(r"meta\d*", word) for word in re.split(r"[\W_]+", path.name.lower()))


def read_fields(root: Path, file: str, mistakes: Mistakes) -> dict[str, str] | None:
    """Return the ``field: value`` lines of a file, those without a value left out."""
    text = read_text(root, file, mistakes)
    if text is None:
        return None
    fields: dict[str, str] = {}
    for line, content in enumerate(text.split("\n"), start=1):
        name, colon, value = content.partition(":")
        if not content.strip():
            continue
        if not colon:
            mistakes.error(
                file, line, f"found '{content[:60]}', expected 'field: value': add the colon"
            )
        elif name.strip() in fields:
            mistakes.warning(file, line, f"field '{name.strip()}' is there twice: keep one")
        else:
            fields[name.strip()] = value.strip()
    return {name: value for name, value in fields.items() if value or name in _MAY_BE_EMPTY}


_LONGEST_FILE_NAME = 255
_MAY_BE_EMPTY = frozenset({"variant_classification_filter", "namespaces"})


def check_fields(
    file: str,
    fields: Mapping[str, str],
    required: Iterable[str],
    optional: Iterable[str],
    mistakes: Mistakes,
) -> None:
    """Note fields that are missing, which is an error, and fields that nobody reads."""
    required, known = tuple(required), {*required, *optional}
    for name in required:
        if name not in fields:
            alike = [each for each in fields if each not in known]
            hint = nearest(name, alike) if alike else ""
            hint = hint if "did you mean" in hint else ": add it"
            mistakes.error(file, None, f"required field '{name}' is missing or empty{hint}")
    for name in fields:
        if name not in known:
            mistakes.warning(
                file, None, f"field '{name}' is unknown and not read{nearest(name, known)}"
            )


def _kind(file: str, fields: dict[str, str], mistakes: Mistakes) -> str | None:
    if "resource_type" in fields:
        check_fields(file, fields, RESOURCE_FIELDS, (), mistakes)
        if fields["resource_type"] not in RESOURCE_TYPES:
            mistakes.error(
                file,
                None,
                f"resource_type is '{fields['resource_type']}', expected one of "
                f"{quoted(RESOURCE_TYPES)}",
            )
            return None
        return "resource"
    alteration, datatype = (fields.get(n, "") for n in ("genetic_alteration_type", "datatype"))
    kind = KINDS.get((alteration, datatype))
    if kind is None:
        mistakes.error(file, None, _unknown_kind(alteration, datatype))
        return None
    check_fields(file, fields, kind.required, kind.optional, mistakes)
    _check_profile(file, kind, fields, mistakes)
    return kind.name


def _unknown_kind(alteration: str, datatype: str) -> str:
    if not alteration or not datatype:
        missing = "genetic_alteration_type" if not alteration else "datatype"
        return f"required field '{missing}' is missing or empty: nothing says what the file is"
    if alteration == "FUSION":
        return "fusions are not read any more: use genetic_alteration_type STRUCTURAL_VARIANT"
    if alteration not in {each for each, _ in KINDS}:
        hint = nearest(alteration, {each for each, _ in KINDS})
        return f"genetic_alteration_type '{alteration}' is unknown{hint}"
    known = [each for of, each in KINDS if of == alteration]
    return f"datatype is '{datatype}', expected one of {quoted(known)} for {alteration}"


def _check_profile(
    file: str, kind: FileKind, fields: Mapping[str, str], mistakes: Mistakes
) -> None:
    stable_id = fields.get("stable_id")
    if stable_id is not None and not kind.allows(stable_id):
        expected = (
            f"one of {quoted(kind.stable_ids, 20)}" if kind.stable_ids else "another form of name"
        )
        mistakes.error(file, None, f"stable_id is '{stable_id}', expected {expected}")
    for name in ("show_profile_in_analysis_tab", "patient_level"):
        if name in fields and fields[name].lower() not in ("true", "false"):
            mistakes.error(file, None, f"{name} is '{fields[name]}', expected true or false")
    if fields.get("value_sort_order", "ASC") not in ("ASC", "DESC"):
        found = fields["value_sort_order"]
        mistakes.error(file, None, f"value_sort_order is '{found}', expected ASC or DESC")
    if fields.get("swissprot_identifier", "name") not in ("name", "accession"):
        found = fields["swissprot_identifier"]
        mistakes.error(
            file, None, f"swissprot_identifier is '{found}', expected 'name' or 'accession'"
        )


def _check_study_fields(
    root: Path, file: str, fields: Mapping[str, str], mistakes: Mistakes
) -> None:
    check_fields(file, fields, STUDY_REQUIRED, STUDY_OPTIONAL, mistakes)
    for name, most in STUDY_LENGTHS.items():
        if len(fields.get(name, "")) > most:
            mistakes.error(
                file, None, f"'{name}' has {len(fields[name])} characters, expected {most} at most"
            )
    genome = fields.get("reference_genome", _DEFAULT_GENOME)
    if genome not in GENOME_BUILDS:
        mistakes.error(
            file, None, f"reference_genome is '{genome}', expected one of {quoted(GENOME_BUILDS)}"
        )
    pmid = fields.get("pmid", "")
    if any(each.isspace() for each in pmid):
        mistakes.error(file, None, f"pmid '{pmid}' has white space: separate by commas alone")
    elif pmid and not all(each.isdecimal() for each in pmid.split(",")):
        mistakes.error(file, None, f"pmid is '{pmid}', expected whole numbers and commas")
    if pmid and "citation" not in fields:
        mistakes.warning(file, None, "there is a pmid but no citation: add the citation")
    if fields.get("add_global_case_list", "true").lower() not in ("true", "false"):
        found = fields["add_global_case_list"]
        mistakes.error(file, None, f"add_global_case_list is '{found}', expected true or false")
    if "tags_file" in fields:
        _check_tags(root, file, fields["tags_file"], mistakes)


def _check_tags(root: Path, file: str, tags: str, mistakes: Mistakes) -> None:
    import yaml

    if not (root / tags).is_file():
        mistakes.error(file, None, f"tags_file '{tags}' is not there: add it, or remove the field")
        return
    try:
        yaml.safe_load(read_text(root, tags, mistakes) or "")
    except yaml.YAMLError:
        mistakes.error(tags, None, "is neither YAML nor JSON: correct its syntax")


def _check_one_study(
    about: list[tuple[str, dict[str, str]]], metas: list[Meta], mistakes: Mistakes
) -> None:
    if not about:
        found = "no meta file names a study" if metas else "there are no meta files of a study"
        mistakes.error(
            "meta_study.txt",
            None,
            f"{found}: add one with {quoted(STUDY_REQUIRED)}; files that only add to a study that "
            "is loaded already are checked in the study's own folder",
        )
        return
    for file, _ in about[1:]:
        mistakes.error(file, None, f"'{about[0][0]}' describes the study already: keep one of them")
    identifier = about[0][1].get("cancer_study_identifier", "")
    for meta in metas:
        found = meta.fields.get("cancer_study_identifier", identifier)
        if identifier and found != identifier and meta.kind != "cancer_type":
            mistakes.error(
                meta.file,
                None,
                f"cancer_study_identifier is '{found}', expected '{identifier}' as in "
                f"'{about[0][0]}'",
            )


def _check_together(study: Study) -> None:
    """Note what no meta file shows alone."""
    mistakes = study.mistakes
    for kind in ("patients", "samples"):
        for meta in study.of_kind(kind)[1:]:
            mistakes.error(meta.file, None, f"is the second file of {kind}: join it to the first")
    if not study.of_kind("samples"):
        mistakes.error(
            "meta_clinical_sample.txt",
            None,
            "no meta file names a clinical sample file (datatype SAMPLE_ATTRIBUTES): add one",
        )
    elif not study.of_kind("patients"):
        mistakes.warning(
            study.of_kind("samples")[0].file,
            None,
            "there is no clinical patient file, so no survival: add one if it is known",
        )
    first: dict[str, str] = {}
    for meta in study.metas:
        if meta.stable_id and first.setdefault(meta.stable_id, meta.file) != meta.file:
            mistakes.error(
                meta.file,
                None,
                f"stable_id '{meta.stable_id}' is also that of '{first[meta.stable_id]}': "
                "change one",
            )
        genome = meta.fields.get("reference_genome_id")
        if genome and study.genome and genome != study.genome:
            mistakes.error(
                meta.file,
                None,
                f"reference_genome_id is '{genome}', expected '{study.genome}', the study's",
            )
    _check_sources(study, set(first))


def _check_sources(study: Study, stable_ids: set[str]) -> None:
    """Gene-set scores name the profile they were made from; so must z-scores beside them."""
    scored = study.of_kind("geneset_scores", "geneset_p_values")
    for meta in scored:
        source = meta.fields.get("source_stable_id")
        if source is not None and source not in stable_ids:
            study.mistakes.error(
                meta.file, None, f"source_stable_id '{source}' is no profile of this study"
            )
    kinds = {meta.kind for meta in scored}
    if len(kinds) == 1:
        study.mistakes.error(
            scored[0].file, None, "gene-set scores and their p-values come together: add the other"
        )
    for meta in study.metas:
        scores = meta.alteration == "MRNA_EXPRESSION" and meta.datatype == "Z-SCORE"
        if scored and scores and "source_stable_id" not in meta.fields:
            study.mistakes.error(
                meta.file, None, "field 'source_stable_id' is required beside gene-set scores"
            )
