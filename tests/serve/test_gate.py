"""A real server on loopback: what is right is answered, everything else gets one sentence."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from omics_twin.errors import ConsentError
from omics_twin.serve.pyfunc import rank_record
from omics_twin.serve.reading import RefusedError, permitted, records_in
from omics_twin.serve.request_schema import request_schema
from omics_twin.told import record_of
from omics_twin.tracking import TrainedModel
from omics_twin.trust.consent import (
    Decision,
    Entry,
    Ledger,
    Permission,
    Purpose,
    judged,
)
from tests.conftest import SmallRun
from tests.serve.bodies import CANARY, right, wrong

JSON = {"content-type": "application/json"}
STRATUM = {"hr_positive": "1", "her2_positive": "0"}
RECORD = {
    "patient_id": "p1",
    "stratum": STRATUM,
    "visits": [{"day": 0, "values": {"clinical": {"age_years": 51, "stage": "II"}}}],
}


def with_clinical(**values: Any) -> dict[str, Any]:
    return {**RECORD, "visits": [{"day": 0, "values": {"clinical": values}}]}


def body_of(*records: Any) -> bytes:
    return json.dumps({"inputs": list(records)}).encode()


BAD = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"{",
    b'"' + CANARY.encode() + b'"',
    b"\xef\xbb\xbf" + body_of(RECORD),
    b"\xff\xfe",
    body_of(RECORD).replace(b'"age_years": 51', b'"age_years": 51, "age_years": 52'),
    body_of(RECORD).replace(b"51", b"NaN"),
    body_of(RECORD).replace(b"51", b"Infinity"),
    body_of(RECORD).replace(b"51", b"1e999"),
    body_of(RECORD).replace(b"51", b"1" * 5000),
    b"[" * 100_000,
    body_of(),
    body_of(RECORD, RECORD),
    body_of(*({**RECORD, "patient_id": f"p{each}"} for each in range(300))),
    json.dumps({"inputs": RECORD}).encode(),
    json.dumps({"inputs": [RECORD], "params": {}}).encode(),
    json.dumps({"instances": [RECORD]}).encode(),
    json.dumps({"dataframe_split": {"columns": ["age"], "data": [[CANARY]]}}).encode(),
    body_of({**RECORD, "ssn": CANARY}),
    body_of({**RECORD, CANARY: 1}),
    body_of({**RECORD, "patient_id": ""}),
    body_of({**RECORD, "patient_id": 7}),
    body_of({**RECORD, "stratum": {"hr_positive": CANARY}}),
    body_of({**RECORD, "stratum": {CANARY: "1"}}),
    body_of({**RECORD, "visits": CANARY}),
    body_of({**RECORD, "visits": [{"day": "0"}]}),
    body_of({**RECORD, "visits": [{"day": 1e9}]}),
    body_of({**RECORD, "visits": [{"day": 21, "values": {"radiomics": {"sphericity": 0.5}}}]}),
    body_of({**RECORD, "visits": [{"day": 0, "under": CANARY}]}),
    body_of({**RECORD, "visits": [{"day": 0, "values": {CANARY: {}}}]}),
    body_of({**RECORD, "visits": [RECORD["visits"][0], RECORD["visits"][0]]}),
    body_of({**RECORD, "visits": [{"day": 5}, {"day": 0}]}),
    body_of(with_clinical(age_years=-5)),
    body_of(with_clinical(age_years=999)),
    body_of({**RECORD, "visits": [{"day": 0, "values": {"transcriptomics": {"ESR1": -1e308}}}]}),
    body_of(with_clinical(age_years="61")),
    body_of(with_clinical(age_years=True)),
    body_of(with_clinical(hr_positive=1.5)),
    body_of(with_clinical(stage=CANARY)),
    body_of(with_clinical(**{CANARY: 1})),
    body_of(with_clinical(age_years={"value": CANARY})),
    body_of({**RECORD, "visits": [{}]}),
    body_of({**RECORD, "visits": [{"values": RECORD["visits"][0]["values"]}]}),
    body_of({**RECORD, "visits": [{"day": None}]}),
    body_of({**RECORD, "visits": [{"day": True}]}),
    body_of({**RECORD, "visits": [{"day": 0, "values": []}]}),
    body_of({**RECORD, "visits": [{"day": 0, "values": {"clinical": []}}]}),
    body_of({**RECORD, "visits": [None]}),
    body_of({**RECORD, "stratum": None}),
    body_of({**RECORD, "stratum": {"hr_positive": 1}}),
    body_of({**RECORD, "patient_id": "p\u200b1"}),
    body_of({**RECORD, "patient_id": "x" * 201}),
    body_of({each: RECORD[each] for each in ("stratum", "visits")}),
    body_of(None),
    body_of([RECORD]),
    body_of(RECORD) + b"{}",
    body_of(RECORD).replace(b'"patient_id"', b"'patient_id'"),
    body_of(RECORD).replace(b"51", b"0x33"),
    body_of(RECORD).decode().encode("utf-16"),
]


@pytest.fixture(scope="module")
def model(small_run: SmallRun) -> TrainedModel:
    return TrainedModel.load(small_run.model)


@pytest.fixture(scope="module")
def schema(model: TrainedModel) -> dict[str, Any]:
    found = request_schema(model, 3)
    Draft202012Validator.check_schema(found)
    return json.loads(json.dumps(found))


# The server of these tests has neither what trains a model nor the data that it was trained on.
WITHOUT = (
    "import sys\n"
    "for name in ('lightning', 'pytorch_lightning', 'torch_geometric', 'scanpy'):\n"
    "    sys.modules[name] = None\n"
    "from omics_twin.cli import main\n"
    "sys.exit(main(sys.argv[1:]))\n"
)


@pytest.fixture(scope="module")
def port(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    alone = shutil.copytree(small_run.model, tmp_path_factory.mktemp("alone") / "model")
    command = [sys.executable, "-c", WITHOUT, "serve", f"model_uri={alone}"]
    with subprocess.Popen(
        [*command, "serve.port=0", "serve.most_bytes=200000", "serve.timeout_seconds=5"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        line = next(each for each in server.stdout if "http://" in each)
        yield int(line.split(":")[-1].split("/")[0])
        server.terminate()
        told = "".join(server.communicate(timeout=20))
        assert CANARY not in told
        assert "Traceback" not in told


def asked(
    port: int, body: bytes, headers: dict[str, str] = JSON, path: str = "/invocations"
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_a_record_gets_the_answer_of_the_model(port: int, model: TrainedModel) -> None:
    status, body = asked(port, body_of(RECORD))
    assert status == 200
    found = json.loads(body)["predictions"]
    expected = rank_record(model, record_of(RECORD))
    assert [each["intervention"] for each in found] == [each["intervention"] for each in expected]
    for mine, theirs in zip(found, expected, strict=True):
        assert mine["expected"] == pytest.approx(theirs["expected"], abs=1e-6)


def test_what_is_wrong_is_refused_and_not_repeated(port: int) -> None:
    for body in BAD:
        status, told = asked(port, body)
        assert 400 <= status < 500, body[:120]
        assert list(json.loads(told)) == ["error"]
        assert CANARY.encode() not in told, body[:120]


@pytest.mark.parametrize(
    ("body", "headers", "path", "status"),
    [
        (b"age\n51", {"content-type": "text/csv"}, "/invocations", 415),
        (body_of(RECORD), {}, "/invocations", 415),
        (body_of(RECORD), JSON | {"content-encoding": "gzip"}, "/invocations", 415),
        (b" " * 300_000, JSON, "/invocations", 413),
        (body_of(RECORD), JSON, f"/invocations?x={CANARY}", 400),
        (body_of(RECORD), JSON, "/docs", 404),
        (body_of(RECORD), JSON, "/openapi.json", 404),
        (body_of(RECORD), JSON, f"/../../{CANARY}", 404),
        (body_of(RECORD), JSON, "/schema", 405),
    ],
)
def test_only_json_of_a_bounded_size_is_read(
    port: int, body: bytes, headers: dict[str, str], path: str, status: int
) -> None:
    found, told = asked(port, body, headers, path)
    assert found == status
    assert CANARY.encode() not in told


def test_a_body_that_does_not_arrive_is_not_waited_for(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest("POST", "/invocations")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", "1000")
    connection.endheaders(b'{"inputs": [')
    assert connection.getresponse().status == 408
    connection.close()


def test_many_clients_at_once_get_the_answer_of_one(port: int) -> None:
    first = asked(port, body_of(RECORD))
    assert first[0] == 200
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda _: asked(port, body_of(RECORD)), range(64)))
    assert answers == [first] * 64


def test_the_schema_lists_what_a_record_may_hold(port: int, model: TrainedModel) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/schema")
    found = json.loads(connection.getresponse().read())
    connection.close()
    assert found["modalities"]["clinical"]["columns"]["age_years"] == {
        "unit": "year",
        "minimum": 18.0,
        "maximum": 110.0,
    }
    assert found["modalities"]["clinical"]["columns"]["stage"]["levels"] == ["I", "II", "III"]
    assert set(found["arms"]) == set(model.catalogue.arms)
    assert set(found["stratum"]) == set(STRATUM)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_json_makes_the_reader_stumble(model: TrainedModel, told: Any) -> None:
    for body in (json.dumps(told), json.dumps({"inputs": [told]})):
        with pytest.raises(RefusedError) as refused:
            records_in(model, body.encode("utf-8", "surrogatepass"), 10)
        assert 400 <= refused.value.status < 500


# A draw makes a whole body; what is found is told by the body itself. Other bodies every time:
# scripts/bench/gate.py.
LONG = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@settings(deadline=None, max_examples=40, derandomize=True, suppress_health_check=LONG)
@given(st.data())
def test_what_the_schema_allows_is_taken(
    model: TrainedModel, schema: dict[str, Any], drawn: st.DataObject
) -> None:
    body = drawn.draw(right(schema))
    assert Draft202012Validator(schema).is_valid(body)
    found = records_in(model, json.dumps(body).encode(), 10)
    assert [each.patient_id for each in found] == [each["patient_id"] for each in body["inputs"]]


@settings(deadline=None, max_examples=8, derandomize=True, suppress_health_check=LONG)
@given(st.data())
def test_what_the_schema_allows_is_answered(
    port: int, schema: dict[str, Any], drawn: st.DataObject
) -> None:
    body = drawn.draw(right(schema))
    status, told = asked(port, json.dumps(body).encode())
    assert status == 200
    answered = {each["patient_id"] for each in json.loads(told)["predictions"]}
    assert answered == {each["patient_id"] for each in body["inputs"]}


@settings(deadline=None, max_examples=40, derandomize=True, suppress_health_check=LONG)
@given(st.data())
def test_one_mistake_in_what_the_schema_allows_is_refused_and_not_repeated(
    model: TrainedModel, schema: dict[str, Any], drawn: st.DataObject
) -> None:
    with pytest.raises(RefusedError) as refused:
        records_in(model, json.dumps(drawn.draw(wrong(schema))).encode(), 10)
    assert 400 <= refused.value.status < 500
    assert CANARY not in refused.value.sentence


def test_the_gate_tells_the_schema_that_bodies_are_made_of(
    port: int, schema: dict[str, Any]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/schema")
    found = json.loads(connection.getresponse().read())["request"]
    connection.close()
    most = found["properties"]["inputs"]
    assert most["maxItems"] == 256
    most["maxItems"] = schema["properties"]["inputs"]["maxItems"]
    assert found == schema


def test_a_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "omics_twin", "serve", f"model_uri={tmp_path / 'none'}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "no model at" in found.stderr


def test_who_does_not_permit_scoring_is_not_scored_and_what_is_withheld_is_not_used() -> None:
    record = record_of(RECORD)
    granted = Entry("p1", Decision.GRANT, "scoring", date(2026, 1, 1))
    entries = [granted]

    def permits(patient_ids: Sequence[str]) -> Permission:
        return judged(patient_ids, Ledger("", tuple(entries)), Purpose.SCORING, ["clinical"])

    assert permitted([record], permits) == [record]
    entries.append(Entry("p1", Decision.WITHDRAW, "all", date(2026, 1, 2), "clinical"))
    assert permitted([record], permits)[0].visits[0].values == {}
    entries.append(Entry("p1", Decision.WITHDRAW, "all", date(2026, 1, 3)))
    with pytest.raises(RefusedError, match="record 0 of 'inputs': consent for all with") as caught:
        permitted([record], permits)
    assert caught.value.status == 403

    def broken(patient_ids: Sequence[str]) -> Permission:
        raise ConsentError(CANARY)

    with pytest.raises(RefusedError, match="cannot be read") as caught:
        permitted([record], broken)
    assert caught.value.status == 503


def test_a_server_with_a_ledger_asks_it_at_every_request(
    small_run: SmallRun, tmp_path: Path
) -> None:
    ledger = tmp_path / "consent.csv"
    ledger.write_text("patient_id,decision,purpose,recorded_on\np1,grant,scoring,2026-01-01\n")
    command = [sys.executable, "-m", "omics_twin", "serve", f"model_uri={small_run.run}"]
    more = ["serve.port=0", f"trust.ledger={ledger}"]
    with subprocess.Popen([*command, *more], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = next(each for each in server.stdout if "http://" in each)
        to = int(line.split(":")[-1].split("/")[0])
        assert asked(to, body_of(RECORD))[0] == 200
        other = {**RECORD, "patient_id": "p2"}
        status, told = asked(to, body_of(RECORD, other))
        assert status == 403
        assert b"record 1 of 'inputs': no consent for scoring is recorded" in told
        with ledger.open("a") as stream:
            stream.write("p1,withdraw,all,2026-02-01\n")
        assert asked(to, body_of(RECORD))[0] == 403
        server.terminate()
