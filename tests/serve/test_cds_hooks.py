"""A hospital's system asks by CDS Hooks: signed, with consent, and told what became of cards."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests

from omics_twin.chart.cards import feedback_on
from omics_twin.chart.store import Chart
from omics_twin.intake.fhir_bundle import bundle_of
from omics_twin.intake.fhir_mapping_file import mapping_of
from omics_twin.told import record_of
from tests.conftest import SmallRun
from tests.serve.hospital import CANARY, STRATUM, WITHDRAWN, Running, running

SERVICE = "/cds-services/omics-twin-patient-view"
TOLD = {
    "patient_id": "new",
    "stratum": STRATUM,
    "visits": [{"day": 0, "values": {"clinical": {"age_years": 51, "stage": "II"}}}],
}


@pytest.fixture(scope="module")
def served(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(small_run, tmp_path_factory.mktemp("hooks")) as server:
        yield server


def asked(
    served: Running, patient: str, path: str = SERVICE, token: str | None = None, **changed: Any
) -> requests.Response:
    body = {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "context": {"userId": "Practitioner/1", "patientId": patient},
        **changed,
    }
    headers = {"authorization": f"Bearer {token or served.token(path)}"}
    return requests.post(served.url + path, json=body, headers=headers, timeout=60)


def consent(patient: str, kind: str) -> dict[str, Any]:
    scoped = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "treatment"}
    return {
        "resourceType": "Consent",
        "id": "c1",
        "status": "active",
        "scope": {"coding": [scoped]},
        "category": [{"text": "scoring"}],
        "patient": {"reference": f"Patient/{patient}"},
        "dateTime": "2026-01-02",
        "policyRule": {"text": "by law"},
        "provision": {"type": kind},
    }


def prefetched(served: Running, kind: str | None) -> dict[str, Any]:
    mapping = mapping_of(Path("conf/fhir/synthetic.yaml"))
    bundle = bundle_of(record_of(TOLD), mapping, date(2026, 1, 10))
    told: dict[str, Any] = {"observations": bundle}
    if kind is not None:
        told["consents"] = consent("new", kind)
    return told


def test_discovery_lists_two_services_with_their_prefetch(served: Running) -> None:
    answer = requests.get(f"{served.url}/cds-services", timeout=30)
    assert answer.headers["access-control-allow-origin"] == "*"
    services = answer.json()["services"]
    assert [each["hook"] for each in services] == ["patient-view", "order-select"]
    assert services[0]["prefetch"]["patient"] == "Patient/{{context.patientId}}"


def test_a_patient_of_the_chart_gets_a_card_and_feedback_is_kept(served: Running) -> None:
    (card,) = asked(served, "SYN0000001").json()["cards"]
    assert len(card["summary"]) < 140
    assert card["indicator"] in ("info", "warning")
    assert "never an order" in card["detail"]
    assert card["links"][0]["url"].startswith(f"{served.url}/patient?id=SYN0000001")
    path = f"{SERVICE}/feedback"
    told = {
        "card": card["uuid"],
        "outcome": "overridden",
        "overrideReason": {"reason": {"code": "preference"}, "userComment": "prefers tablets"},
        "outcomeTimestamp": "2026-11-28T10:00:00Z",
    }
    assert asked(served, "SYN0000001", path, feedback=[told]).status_code == 200
    with closing(Chart.open(served.chart)) as chart:
        (kept,) = feedback_on(chart, card["uuid"])
    assert (kept.outcome, kept.reason, kept.comment) == (
        "overridden", "preference", "prefers tablets",
    )  # fmt: skip
    strange = {**told, "card": str(uuid.uuid4())}
    assert asked(served, "SYN0000001", path, feedback=[strange]).status_code == 422


def test_a_patient_without_a_chart_is_answered_from_the_prefetch(served: Running) -> None:
    (card,) = asked(served, "new", prefetch=prefetched(served, "permit")).json()["cards"]
    assert "links" not in card
    assert "best with probability" in card["detail"]


def test_what_is_being_ordered_is_placed_in_the_list(served: Running) -> None:
    path = "/cds-services/omics-twin-order-select"
    atc = {"system": "http://www.whocc.no/atc", "code": "L01CD01"}
    order = {
        "resourceType": "MedicationRequest",
        "id": "m1",
        "status": "draft",
        "medicationCodeableConcept": {"coding": [atc]},
    }
    context = {
        "userId": "Practitioner/1",
        "patientId": "SYN0000001",
        "selections": ["MedicationRequest/m1"],
        "draftOrders": {"resourceType": "Bundle", "entry": [{"resource": order}]},
    }
    changed = {"hook": "order-select", "context": context}
    (card,) = asked(served, "SYN0000001", path, **changed).json()["cards"]
    assert "Selected: Paclitaxel, " in card["detail"]
    context["draftOrders"] = {"entry": [{"resource": 7}, 8]}
    (card,) = asked(served, "SYN0000001", path, **changed).json()["cards"]
    assert "Selected" not in card["detail"]


def test_without_consent_there_is_no_card_and_no_reason(served: Running) -> None:
    assert asked(served, WITHDRAWN).json() == {"cards": []}
    for kind in (None, "deny"):
        answer = asked(served, "new", prefetch=prefetched(served, kind))
        assert answer.json() == {"cards": []}


def test_what_is_sent_of_another_patient_is_refused(served: Running) -> None:
    for patient in ("other", "SYN0000001"):
        answer = asked(served, patient, prefetch=prefetched(served, "permit"))
        assert answer.status_code == 400
        assert "not of the patient of the context" in answer.text


def test_a_denial_that_is_sent_closes_a_chart_that_says_yes(served: Running) -> None:
    person = {"resourceType": "Patient", "id": "SYN0000003"}
    late = {**consent("SYN0000003", "deny"), "dateTime": "2036-01-02"}
    sent = {"patient": person, "consents": late}
    assert asked(served, "SYN0000003", prefetch=sent).json() == {"cards": []}
    today = date.today().isoformat()
    sent["consents"] = {**late, "dateTime": today, "provision": {"type": "permit"}}
    assert len(asked(served, "SYN0000003", prefetch=sent).json()["cards"]) == 1


def test_a_patient_of_whom_nothing_is_known_is_a_failed_precondition(served: Running) -> None:
    answer = asked(served, "stranger")
    assert answer.status_code == 412
    assert "stranger" not in answer.text


def test_only_who_signed_for_this_once_is_answered(served: Running) -> None:
    unsigned = requests.post(served.url + SERVICE, json={}, timeout=30)
    assert unsigned.status_code == 401
    now = int(time.time())
    wrong: list[dict[str, Any]] = [
        {"iss": "https://elsewhere.example"},
        {"aud": served.url + "/cds-services/other"},
        {"exp": now - 1},
        {"exp": now + 3600},
    ]
    for changed in wrong:
        token = served.token(SERVICE, **changed)
        assert asked(served, "SYN0000001", token=token).status_code == 401, changed
    token = served.token(SERVICE)
    assert asked(served, "SYN0000001", token=token).status_code == 200
    assert asked(served, "SYN0000001", token=token).status_code == 401


def test_what_is_wrong_is_refused_and_not_repeated(served: Running) -> None:
    for changed in (
        {"hook": CANARY},
        {"context": CANARY},
        {"context": {"patientId": 7}},
        {"hookInstance": ""},
    ):
        answer = asked(served, CANARY, **changed)
        assert answer.status_code == 400
        assert CANARY not in answer.text
    for odd in ({"a": {"resourceType": "Bundle", "entry": [7, None, {}]}}, {"a": {}}, {"a": 7}):
        assert 400 <= asked(served, "new", prefetch=odd).status_code < 500
    broken = prefetched(served, "permit")
    broken["consents"] = {"resourceType": "Observation", "status": CANARY}
    answer = asked(served, "new", prefetch=broken)
    assert answer.status_code == 422
    assert CANARY not in answer.text
    assert asked(served, CANARY, "/cds-services/none").status_code == 404
