"""A small catalogue in YAML, read as the configuration reads it."""

from __future__ import annotations

from functools import cache

from omegaconf import OmegaConf

from omics_twin.config import typed
from omics_twin.therapy.catalogue import Catalogue

TRIAL = """
name: trial
thin_support: 3
arms:
  Ctr:
    label: Paclitaxel
    agents: [paclitaxel]
    then: [doxorubicin]
    also:
      - {agents: [trastuzumab], where: {her2: ["1"]}, reason: standard in HER2-positive disease}
  VC:
    agents: [paclitaxel, veliparib, carboplatin]
    eligible:
      - where: {her2: ["0"]}
        reason: tested in HER2-negative disease only
        source: doi:10.1056/NEJMoa1513749
  HP:
    agents: [trastuzumab, pertuzumab]
    also:
      - {agents: [loperamide], reason: given to everyone in this arm}
    eligible:
      - {where: {her2: ["1"]}, reason: both antibodies bind HER2.}
      - {where: {hr: ["0", "1", not measured]}, reason: hormone receptors of any status}
    note: without chemotherapy
agents:
  paclitaxel: {drug_class: taxane, mechanism: stabilises microtubules, targets: [TUBB, TUBB3]}
  veliparib: {drug_class: PARP inhibitor, mechanism: inhibits PARP, targets: [PARP1, PARP2]}
  carboplatin:
    drug_class: platinum compound
    mechanism: cross-links DNA and has no protein target
    atc: L01XA02
  doxorubicin: {drug_class: anthracycline, mechanism: poisons TOP2, targets: [TOP2A]}
  trastuzumab:
    label: Trastuzumab
    drug_class: HER2 antibody
    mechanism: binds HER2
    targets: [ERBB2]
  pertuzumab: {drug_class: HER2 antibody, mechanism: binds HER2, targets: [ERBB2]}
  loperamide: {drug_class: opioid, mechanism: acts on the gut, targets: [OPRM1]}
"""


@cache
def catalogue(text: str = TRIAL) -> Catalogue:
    """Return the catalogue of a file."""
    return Catalogue.declared(typed(OmegaConf.create({"therapy": OmegaConf.create(text)})).therapy)


def changed(old: str, new: str) -> str:
    """Return the file with one thing changed."""
    assert TRIAL.count(old) >= 1, old
    return TRIAL.replace(old, new, 1)
