"""Check FORMAT and the columns of the samples of a VCF record."""

from __future__ import annotations

import re
from functools import lru_cache

from omics_twin.errors import shown
from omics_twin.intake.vcf_found import Found
from omics_twin.intake.vcf_header import Header, undeclared
from omics_twin.intake.vcf_reserved import FORMAT, Version
from omics_twin.intake.vcf_values import Rule, problem

MOST_FORMATS = 1_000
_KEY = re.compile(r"[0-9A-Za-z]+")
_KEY_43 = re.compile(r"[A-Za-z_][0-9A-Za-z_.]*")
_GENOTYPE = re.compile(r"(?:\.|[0-9]+)(?:[/|](?:\.|[0-9]+))*")
_ALLELES = re.compile(r"[0-9]+|\.")


def check_samples(
    fields: list[str], alternates: tuple[str, ...], header: Header, found: Found
) -> None:
    """Say what is wrong with FORMAT, and with each sample.

    Parameters
    ----------
    fields
        FORMAT and the samples' columns.
    alternates
        Alleles of ALT.
    header, found
        What was declared, and where findings go.
    """
    rules = header.formats.get(fields[0])
    if rules is None:
        keys = fields[0].split(":")
        faultless = _check_keys(fields[0], keys, header, found)
        rules = [header.rule("FORMAT", key) for key in keys]
        if faultless and len(header.formats) < MOST_FORMATS:
            header.formats[fields[0]] = rules
    genotyped = rules[0].key == "GT"
    names = header.samples or ()
    for name, text in zip(names, fields[1:], strict=False):
        wrong = _sample(text, rules, genotyped, len(alternates))
        if " " in text:
            wrong.extend(_spaced(text, rules, header.version))
        for sentence in wrong:
            found.error(f"sample {shown(name)}: {sentence}")


def _check_keys(text: str, keys: list[str], header: Header, found: Found) -> bool:
    """Return whether nothing is wrong with the keys of FORMAT."""
    wrong = []
    newer = header.version >= Version.V43
    pattern, allowed = (
        (_KEY_43, "letters, digits, '_' and '.'") if newer else (_KEY, "letters and digits")
    )
    for key in keys:
        if pattern.fullmatch(key):
            continue
        if _KEY_43.fullmatch(key) and key in header.named("FORMAT"):
            # Such as MIN_DP: widely written, and declared.
            if found.first("FORMAT key", key):
                found.warning(f"FORMAT key {shown(key)} holds more than {allowed}")
            continue
        wrong.append(f"FORMAT is {shown(text)}, expected keys of {allowed} between ':'")
        break
    if len(set(keys)) < len(keys):
        wrong.append(f"FORMAT is {shown(text)}, expected each key once")
    if "GT" in keys[1:]:
        wrong.append(f"FORMAT is {shown(text)}, expected GT first")
    reserved = FORMAT[header.version]
    for key in keys:
        declared = key in reserved or key in header.named("FORMAT")
        if not declared and found.first("FORMAT", key):
            found.warning(undeclared(header, "FORMAT", key))
    for sentence in wrong:
        found.error(sentence)
    return not wrong


def _sample(text: str, rules: list[Rule], genotyped: bool, alternates: int) -> list[str]:
    """Return what is wrong with one sample's column."""
    values = text.split(":")
    wrong = []
    if len(values) > len(rules):
        wrong.append(f"holds {len(values)} values, {shown(text)}, but FORMAT {len(rules)} keys")
    if "" in values:
        wrong.append(f"is {shown(text)}, expected no empty value between ':'")
        return wrong
    ploidy: int | None = 2
    start = 0
    if genotyped:
        start = 1
        ploidy, fault = _genotype(values[0], alternates)
        if fault:
            wrong.append(fault)
    for rule, value in zip(rules[start:], values[start:], strict=False):
        if value == ".":
            continue
        fault = problem(rule, value, alternates, ploidy)
        if fault:
            wrong.append(fault)
    return wrong


def _spaced(text: str, rules: list[Rule], version: Version) -> list[str]:
    """Return what may not hold white-space: everything before 4.3, filters in every version."""
    return [
        f"{rule.key} is {shown(value)}, expected no white-space"
        for rule, value in zip(rules, text.split(":"), strict=False)
        if " " in value and (version < Version.V43 or rule.key == "FT")
    ]


@lru_cache(maxsize=1024)
def _genotype(text: str, alternates: int) -> tuple[int | None, str | None]:
    """Return the ploidy of a genotype, and what is wrong with it.

    A lone '.' leaves the ploidy open: it is written for missing diploid genotypes, too.
    """
    if not _GENOTYPE.fullmatch(text):
        return None, f"GT is {shown(text)}, expected numbers of alleles or '.' between '/' or '|'"
    alleles = _ALLELES.findall(text)
    for allele in alleles:
        # Where ALT is '.', files call the unnamed other allele 1.
        if allele != "." and int(allele[:10]) > max(alternates, 1):
            return len(alleles), f"GT is {shown(text)}, but ALT has {alternates} alleles"
    return (None if text == "." else len(alleles)), None
