"""A FHIR resource is refused with sentences, and never crashes the check."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omics_twin.cli import main
from omics_twin.errors import IntakeError
from omics_twin.intake.fhir_check import check_fhir

DIV = '<div xmlns="http://www.w3.org/1999/xhtml"><p>A&nbsp;&amp; B</p></div>'
PATIENT: dict[str, object] = {
    "resourceType": "Patient",
    "id": "p-1",
    "text": {"status": "generated", "div": DIV},
    "gender": "female",
    "birthDate": "1970-05",
    "contained": [{"resourceType": "Organization", "id": "o", "name": "Clinic"}],
    "managingOrganization": {"reference": "#o"},
    "telecom": [{"system": "phone", "value": "1"}],
}
OBSERVATION: dict[str, object] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "8310-5"}]},
    "subject": {"reference": "Patient/p-1"},
    "valueQuantity": {"value": 36.5, "unit": "Cel"},
}


def reasons(folder: Path, content: object) -> list[str]:
    path = folder / "a.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return [each.sentence for each in check_fhir(path).errors]


def bundle(*entries: dict[str, object], kind: str = "collection", **more: object) -> object:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries), **more}


@pytest.mark.parametrize(
    "resource",
    [
        PATIENT,
        OBSERVATION,
        bundle({"fullUrl": "http://a.org/Patient/1", "resource": PATIENT}),
        {"resourceType": "Patient", "link": [{"other": {"reference": "p?x=1"}, "type": "refer"}]},
    ],
)
def test_a_resource_as_it_should_be_is_accepted(resource: object, tmp_path: Path) -> None:
    assert reasons(tmp_path, resource) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"gender": "banana"}, "Patient.gender is 'banana', expected one of 'male', 'female'"),
        ({"birthDate": "1970-13-45"}, "Patient.birthDate"),
        ({"unknown": 1}, "Patient.unknown"),
        ({"deceasedBoolean": True, "deceasedDateTime": "2020"}, "deceased"),
        ({"id": "a" * 65}, "expected up to 64 letters"),
        ({"active": None}, "'active' is empty"),
        ({"name": []}, "'name' is empty"),
        ({"name": [{"text": "<script>x</script>"}]}, "holds active markup"),
        ({"text": {"status": "generated", "div": DIV.replace("<p>", "<p><b>")}}, "not XHTML"),
        ({"text": {"status": "generated", "div": "<p>x</p>"}}, "expected a div of XHTML"),
        ({"text": {"status": "generated", "div": DIV.replace("p>", "form>")}}, "<form>"),
        ({"text": {"status": "generated", "div": DIV.replace("<p", "<p onclick='x'")}}, "onclick"),
        ({"managingOrganization": {"reference": "#x"}}, "'#x' is to no contained resource"),
        ({"managingOrganization": {"reference": "clinic"}}, "expected Type/id, '#id'"),
        (
            {"managingOrganization": {"reference": "Organization/1", "type": "Patient"}},
            "but type is 'Patient'",
        ),
        ({"contained": [{**PATIENT, "id": "o"}]}, "contains another, expected no nesting"),
        ({"contained": [{"resourceType": "Patient", "id": "o"}] * 2}, "expected different ids"),
        ({"identifier": [{"system": "Location!", "value": "1"}]}, "expected an absolute URI"),
        ({"identifier": [{"system": "urn:uuid:12", "value": "1"}]}, "no valid UUID or OID"),
        ({"address": [{"period": {"start": "2021", "end": "2020-05"}}]}, "is after end"),
        ({"photo": [{"data": "YWI=", "size": 3}]}, "size is 3, but data hold 2 bytes"),
        ({"resourceType": "Patientt"}, "expected a resource of R4 or R4B"),
        ({"resourceType": "HumanName"}, "expected a resource of R4 or R4B"),
        ({"resourceType": 3}, "has no 'resourceType'"),
    ],
)
def test_a_patient_is_refused(change: dict[str, object], told: str, tmp_path: Path) -> None:
    found = reasons(tmp_path, {**PATIENT, **change})
    assert any(told in each for each in found), found


@pytest.mark.parametrize(
    ("resource", "told"),
    [
        ({**OBSERVATION, "status": "done"}, "Observation.status is 'done'"),
        (bundle({"fullUrl": "Patient/1", "resource": PATIENT}), "expected an absolute URL"),
        (bundle(*[{"fullUrl": "http://a/b", "resource": PATIENT}] * 2), "stands there twice"),
        (bundle({"resource": PATIENT}, kind="document"), "is not a Composition"),
        (bundle({"resource": PATIENT, "search": {"mode": "match"}}), "'searchset' only"),
        (
            bundle({"resource": PATIENT, "search": {"mode": "outcome"}}, kind="searchset"),
            "expected an OperationOutcome",
        ),
        (bundle(link=[{"relation": "self", "url": "a"}] * 2), "relation 'self' 2 times"),
        (
            {
                "resourceType": "RiskAssessment",
                "status": "final",
                "subject": {"reference": "Patient/1"},
                "prediction": [{"probabilityDecimal": 101.0}],
            },
            "expected 0 to 100",
        ),
    ],
)
def test_other_resources_are_refused(resource: object, told: str, tmp_path: Path) -> None:
    found = reasons(tmp_path, resource)
    assert any(told in each for each in found), found


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("<Patient/>", "is XML, and only JSON is read"),
        ("[]", "is a JSON list or value"),
        ('{\n"resourceType": Patient}', "is not JSON in column 17"),
        ('{"resourceType": "Patient", "id": "a", "id": "b"}', "holds 'id' twice"),
        ('{"resourceType": "Patient", "x": NaN}', "'NaN' stands as a number"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ('{"a": ' + "1" * 5_000 + "}", "cannot be read"),
        (b"\xff{}", "byte 1 is not UTF-8"),
    ],
)
def test_text_that_is_no_resource_is_refused(
    content: str | bytes, told: str, tmp_path: Path
) -> None:
    [reason] = reasons(tmp_path, content)
    assert told in reason


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "is a folder" in check_fhir(tmp_path).errors[0].sentence


def test_broken_json_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{\n"a": 1,\n}')
    assert check_fhir(path).errors[0].line in (2, 3)


def test_the_verb_counts_resources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(bundle({"resource": PATIENT}, {"resource": OBSERVATION})))
    assert main(["check", "intake=fhir", f"intake.path={path}"]) == 0
    assert "2 resources" in capsys.readouterr().out


def test_without_the_library_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: object) -> ModuleType:
        if name.startswith("fhir.resources"):
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(IntakeError, match=r"pip install 'omics-twin\[fhir\]'"):
        check_fhir(tmp_path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("2020"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(key=st.sampled_from([*PATIENT, "name", "entry", "link", "extension"]), value=VALUES)
def test_any_value_is_judged_and_never_crashes(key: str, value: object, tmp_path: Path) -> None:
    kind = "Bundle" if key in ("entry", "link") else "Patient"
    assert all(reasons(tmp_path, {**PATIENT, "resourceType": kind, key: value}) or ["fine"])
