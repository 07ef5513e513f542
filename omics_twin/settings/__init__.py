"""Settings of every room as plain dataclasses; the schema of ``conf/``. Imports nothing heavy."""

from omics_twin.settings.card import TRIPOD_ITEMS, CardSettings
from omics_twin.settings.endpoint import EndpointSettings, Reading
from omics_twin.settings.folder import config_folder, groups, options
from omics_twin.settings.judging import (
    AttackSettings,
    FairnessSettings,
    MonitorSettings,
    PolicySettings,
)
from omics_twin.settings.model import (
    CompanionKind,
    FollowUp,
    GeneEncoder,
    NetworkSettings,
    SurvivalHead,
)
from omics_twin.settings.ranges import require, require_named
from omics_twin.settings.search import SearchSettings
from omics_twin.settings.serving import Engine, ScoreSettings, ServeSettings
from omics_twin.settings.split import SplitBy, SplitSettings
from omics_twin.settings.therapy import (
    AdditionDeclaration,
    AgentDeclaration,
    ArmDeclaration,
    CatalogueDeclaration,
    EligibilityDeclaration,
)
from omics_twin.settings.tracking import TrackingSettings
from omics_twin.settings.trainer import (
    Combine,
    Device,
    FederationSettings,
    PrivacySettings,
    PrivateModel,
    TrainerSettings,
)
from omics_twin.settings.trust import TrustSettings, Unlike
from omics_twin.settings.twin import CalibrationBy, TwinSettings

__all__ = [
    "AdditionDeclaration",
    "AgentDeclaration",
    "ArmDeclaration",
    "AttackSettings",
    "CalibrationBy",
    "CardSettings",
    "CatalogueDeclaration",
    "Combine",
    "CompanionKind",
    "Device",
    "EligibilityDeclaration",
    "EndpointSettings",
    "Engine",
    "FairnessSettings",
    "FederationSettings",
    "FollowUp",
    "GeneEncoder",
    "MonitorSettings",
    "NetworkSettings",
    "PolicySettings",
    "PrivacySettings",
    "PrivateModel",
    "Reading",
    "ScoreSettings",
    "SearchSettings",
    "ServeSettings",
    "SplitBy",
    "SplitSettings",
    "SurvivalHead",
    "TRIPOD_ITEMS",
    "TrackingSettings",
    "TrainerSettings",
    "TrustSettings",
    "TwinSettings",
    "Unlike",
    "config_folder",
    "groups",
    "options",
    "require",
    "require_named",
]
