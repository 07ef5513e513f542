"""The page, asked over HTTP: who may see what, what is kept, and what a hostile form gets."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
from itsdangerous import TimestampSigner

from omics_twin.chart.accounts import set_account
from omics_twin.chart.store import Chart
from omics_twin.cli import main
from omics_twin.files import sha256
from omics_twin.intake.fhir import read_bundle
from omics_twin.intake.fhir_mapping_file import mapping_of
from omics_twin.trust.audit import read_events, verify
from tests.conftest import SmallRun
from tests.intake.fhir_resources import bundled, consent
from tests.intake.test_fhir_mcode import BUNDLES
from tests.serve.hospital import (
    CANARY,
    LEAVING,
    PASSWORD,
    STRATUM,
    WITHDRAWN,
    Running,
    running,
    token_in,
)

PATIENT = "SYN0000001"
VISIT = "radiomics@84"
MAPPING = "conf/fhir/mcode.yaml"


@pytest.fixture(scope="module")
def served(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(small_run, tmp_path_factory.mktemp("page")) as server:
        yield server


@pytest.fixture
def clinician(served: Running) -> requests.Session:
    return served.signed_in("clinician")


def page(session: requests.Session, served: Running, path: str) -> requests.Response:
    return session.get(served.url + path, timeout=60)


def test_nobody_sees_anything_without_signing_in(served: Running) -> None:
    for path in ("/", f"/patient?id={PATIENT}", f"/what-if?id={PATIENT}", "/model", "/record"):
        answer = requests.get(served.url + path, timeout=30, allow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert PATIENT not in answer.text


@pytest.mark.parametrize("name", BUNDLES)
def test_what_a_bundle_of_mcode_tells_is_on_the_page_and_the_rest_is_listed(
    name: str, served: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fhir.resources")
    patient = name.replace(", ", "-").replace(" ", "-")
    bundle = bundled(*BUNDLES[name], consent("permit"))
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(bundle).replace("p-1", patient))
    told = read_bundle(json.loads(path.read_text()), mapping_of(Path(MAPPING)))
    admit = ["admit", f"chart={served.chart}", f"model_uri={served.run.run}", f"mapping={MAPPING}"]
    assert main([*admit, "intake=fhir", f"intake.path={path}"]) == 0
    assert capsys.readouterr().err.count("not used: ") == len(told.unmapped)
    words = page(served.signed_in("clinician"), served, f"/patient?id={patient}").text
    # What was measured of each modality, before treatment and later.
    for visit in told.record.visits:
        for modality, columns in visit.values.items():
            assert re.search(rf"{modality}.*\b{len(columns)} of \d+ \(", words, re.DOTALL)
    # Who has no known stratum is not ranked, and the page says so.
    assert ("No ranking" in words) == (len(told.record.stratum) < 2)


def test_a_wrong_password_is_refused_and_five_are_enough(served: Running) -> None:
    session = requests.Session()
    for _ in range(6):
        token = token_in(page(session, served, "/sign-in").text)
        form = {"name": "auditor", "password": "wrong password", "csrf_token": token}
        answer = session.post(f"{served.url}/sign-in", form, timeout=60)
        assert answer.status_code == 401
    token = token_in(page(session, served, "/sign-in").text)
    form = {"name": "auditor", "password": "correct horse battery", "csrf_token": token}
    assert session.post(f"{served.url}/sign-in", form, timeout=60).status_code == 401


def test_each_role_sees_its_own_pages(served: Running) -> None:
    scientist = served.signed_in("scientist")
    assert "How it was made" in page(scientist, served, "/").text
    refused = page(scientist, served, f"/patient?id={PATIENT}")
    assert refused.status_code == 403
    assert "role of scientist" in refused.text
    assert page(scientist, served, "/record").status_code == 403


def test_the_worklist_and_the_patient_are_told(
    served: Running, clinician: requests.Session
) -> None:
    words = page(clinician, served, "/").text
    assert PATIENT in words
    assert "consent for scoring withdrawn" in words
    words = page(clinician, served, f"/patient?id={PATIENT}").text
    for heading in ("In short", "What was measured", "Therapies open", "Observations and therapies",
                    "Accept or override", "Add an observation", "Patients like this one",
                    "What the twin does not know", "Provenance"):  # fmt: skip
        assert heading in words, heading
    # What limits the answer stands above it.
    assert words.index("What was measured") < words.index("Therapies open")


def test_who_withdrew_is_opened_for_nobody(served: Running, clinician: requests.Session) -> None:
    for path in ("/patient", "/what-if", "/patient.fhir.json"):
        answer = page(clinician, served, f"{path}?id={WITHDRAWN}")
        assert answer.status_code == 403
        assert "withdrawn" in answer.text
    assert page(clinician, served, "/patient?id=nobody").status_code == 403


def test_every_page_forbids_scripts_frames_and_caches(
    served: Running, clinician: requests.Session
) -> None:
    for path in ("/", f"/patient?id={PATIENT}", "/sign-in", "/nothing", "/page.css"):
        headers = page(clinician, served, path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
    cookie = page(requests.Session(), served, "/sign-in").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_a_form_of_another_site_is_refused(served: Running, clinician: requests.Session) -> None:
    form = {"ranking": "1", "therapy": "paclitaxel", "csrf_token": "guessed"}
    url = f"{served.url}/decision?id={PATIENT}"
    assert clinician.post(url, form, timeout=60).status_code == 403
    form["csrf_token"] = token_in(page(clinician, served, f"/patient?id={PATIENT}").text)
    elsewhere = {"sec-fetch-site": "cross-site"}
    assert clinician.post(url, form, timeout=60, headers=elsewhere).status_code == 403
    with closing(Chart.open(served.chart)) as chart:
        assert chart.decisions(PATIENT) == []


def test_a_decision_is_kept_with_its_reason(served: Running, clinician: requests.Session) -> None:
    words = page(clinician, served, "/patient?id=SYN0000003").text
    number = re.findall(r'name="ranking" value="(\d+)"', words)[0]
    therapies = words[words.index('id="therapy"') : words.index('id="reason"')]
    last = re.findall(r'<option value="([^"]+)">', therapies)[-1]
    form = {"ranking": number, "therapy": last, "csrf_token": token_in(words)}
    url = f"{served.url}/decision?id=SYN0000003"
    refused = clinician.post(url, form, timeout=60)
    assert refused.status_code == 422
    assert "say why" in refused.text
    assert "Back to the patient" in refused.text
    kept = clinician.post(url, {**form, "reason": "neuropathy"}, timeout=60)
    assert "neuropathy" in kept.text
    other = clinician.post(f"{served.url}/decision?id={PATIENT}", form, timeout=60)
    assert "another patient" in other.text


def test_an_observation_is_learned_once(served: Running, clinician: requests.Session) -> None:
    address = f"/visit?id={PATIENT}&channel={VISIT}"
    words = page(clinician, served, address).text
    arm = re.findall(r'<option value="([^"]+)" selected', words)[0]
    form = {
        "csrf_token": token_in(words),
        "key": re.findall(r'name="key" value="([^"]+)"', words)[0],
        "day": "84",
        "under": arm,
        "tumour_volume_cm3": "3,5",
        "sphericity": "1.5",
    }
    refused = clinician.post(served.url + address, form, timeout=60)
    assert refused.status_code == 422
    assert "must end" in refused.text
    form["sphericity"] = ""
    learned = clinician.post(served.url + address, form, timeout=60)
    assert learned.status_code == 200
    assert "Ranking before and after" in learned.text
    again = clinician.post(served.url + address, form, timeout=60)
    assert again.status_code == 200
    with closing(Chart.open(served.chart)) as chart:
        days = [visit.day for visit in chart.record(PATIENT).visits]
    assert days.count(84.0) == 1


def test_what_was_wrong_is_amended_and_told_with_what_it_was(
    served: Running, clinician: requests.Session
) -> None:
    words = page(clinician, served, f"/patient?id={PATIENT}").text
    links = re.findall(r'href="(/visit[^"]*amends[^"]*clinical)"', words)
    address = links[0].replace("&amp;", "&")
    form = page(clinician, served, address).text
    filled = dict(re.findall(r'<input id="[^"]*" name="([^"]+)"[^>]*value="([^"]*)"', form))
    for name, choices in re.findall(r'<select id="[^"]*" name="([^"]+)">(.*?)</select>', form):
        filled[name] = "".join(re.findall(r'value="([^"]*)" selected', choices))
    filled["csrf_token"] = token_in(form)
    filled["key"] = re.findall(r'name="key" value="([^"]+)"', form)[0]
    filled["reason"] = "digits swapped"
    for changed, told in (({}, "nothing was changed"), ({"reason": " "}, "say why")):
        answer = clinician.post(served.url + address, {**filled, **changed}, timeout=60)
        assert (answer.status_code, told in answer.text.lower()) == (422, True)
    filled["age_years"] = "88"
    answer = clinician.post(served.url + address, filled, timeout=60)
    assert "The ranking was made anew" in answer.text
    again = clinician.post(served.url + address, {**filled, "key": "other"}, timeout=60)
    assert "amended before" in again.text
    stratum = {"csrf_token": filled["csrf_token"], "reason": "wrong biopsy"}
    stratum |= {"stratum.hr_positive": "not measured", "stratum.her2_positive": "7"}
    url = f"{served.url}/stratum?id={PATIENT}"
    assert "none of" in clinician.post(url, stratum, timeout=60).text
    stratum["stratum.her2_positive"] = "not measured"
    assert "made anew" in clinician.post(url, stratum, timeout=60).text
    words = page(clinician, served, f"/patient?id={PATIENT}").text
    assert re.search(r"age years \d+ → 88 \(digits swapped\)", words)
    assert re.search(r"HR positive . → not measured", words)


def test_a_withdrawal_holds_from_the_next_question_on(
    served: Running, clinician: requests.Session
) -> None:
    url = f"/patient?id={LEAVING}"
    words = page(clinician, served, url).text
    form = {"csrf_token": token_in(words), "purpose": "scoring", "modality": "genes"}
    wrong = clinician.post(f"{served.url}/consent?id={LEAVING}", form, timeout=60)
    assert wrong.status_code == 422
    assert "none of" in wrong.text
    form["modality"] = "clinical"
    clinician.post(f"{served.url}/consent?id={LEAVING}", form, timeout=60)
    left = page(clinician, served, url).text
    assert "withdraw for scoring of clinical" in left
    assert "age years" in words
    assert "age years" not in left[left.index('id="timeline"') : left.index('id="decide"')]
    form = {"csrf_token": token_in(left), "purpose": "all", "modality": "all"}
    clinician.post(f"{served.url}/consent?id={LEAVING}", form, timeout=60)
    closed = page(clinician, served, url)
    assert closed.status_code == 403
    assert "Consent for all withdrawn" in closed.text


def test_what_if_compares_what_was_asked(served: Running, clinician: requests.Session) -> None:
    words = page(clinician, served, "/what-if?id=SYN0000003").text
    arms = re.findall(r'name="arm" value="([^"]+)"', words)[:2]
    asked = requests.models.PreparedRequest()
    asked.prepare_url(
        f"{served.url}/what-if",
        {"id": "SYN0000003", "arm": arms, "column": "clinical.stage", "value": "III"},
    )
    answer = clinician.get(str(asked.url), timeout=60)
    assert answer.status_code == 200
    assert "If stage III" in answer.text
    wrong = page(clinician, served, "/what-if?id=SYN0000003&column=clinical.stage&value=IX")
    assert wrong.status_code == 422
    assert "IX" not in wrong.text


def test_what_is_asked_is_in_the_log_before_it_is_told(
    served: Running, clinician: requests.Session
) -> None:
    before = verify(served.log, bytes.fromhex("ab" * 32), served.anchor).count
    assert CANARY in page(clinician, served, f"/patient?id={CANARY}").text
    assert page(clinician, served, f"/patient.fhir.json?id={CANARY}").json()["entry"]
    visits = [{"day": 0, "values": {"clinical": {"stage": "II"}}}]
    record = {"patient_id": CANARY, "stratum": STRATUM, "visits": visits}
    scored = requests.post(f"{served.url}/invocations", json={"inputs": [record]}, timeout=60)
    assert scored.json()["predictions"]
    events = read_events(served.log, bytes.fromhex("ab" * 32), served.anchor)[before:]
    assert [each.event.action.value for each in events] == ["open patient", "export", "score"]
    who = ["clinician", "clinician", "scoring server"]
    assert [each.event.who for each in events] == who
    assert events[-1].event.answer == sha256(scored.content)
    assert len({each.event.patient for each in events}) == 1
    assert CANARY not in served.log.read_text()


def test_hostile_questions_get_a_sentence(served: Running, clinician: requests.Session) -> None:
    odd = ["%00", "'%20or%201=1--", "%3Cscript%3Ealert(1)%3C/script%3E", "a" * 5000, "%F0%9F%92%89"]
    for each in odd:
        for path in ("/patient?id=", "/what-if?id=", "/?named="):
            answer = page(clinician, served, path + each)
            assert answer.status_code < 500, (path, each[:40])
            assert "<script>" not in answer.text
    assert page(clinician, served, "/?start=-5").status_code == 200
    assert page(clinician, served, "/?start=x").status_code == 422
    assert page(clinician, served, "/patient").status_code == 422
    large = {"csrf_token": "x" * 300_000}
    assert clinician.post(f"{served.url}/alert?id=x", large, timeout=60).status_code == 413


def test_thirty_things_that_a_role_must_not_do_are_refused_and_logged(served: Running) -> None:
    with closing(Chart.open(served.chart)) as chart:
        roles = {"eve": "clinician", "sam": "scientist", "ada": "auditor", "out": "clinician"}
        for name, role in roles.items():
            set_account(chart, name, role, PASSWORD, by="test")
        other = chart.visits("SYN0000003")[0]
    eve, sam, ada, out = (served.signed_in(each) for each in roles)
    tokens = {each: token_in(page(each, served, "/").text) for each in (eve, sam, ada)}
    gone = requests.Session()
    gone.cookies.update(out.cookies)
    out.post(f"{served.url}/sign-out", {"csrf_token": token_in(page(out, served, "/").text)})
    forged, foreign = requests.Session(), requests.Session()
    forged.cookies.set("omics_twin", "eyJudW1iZXIiOiAieCJ9.forged.signature")
    number = base64.b64encode(json.dumps({"number": "x"}).encode())
    foreign.cookies.set("omics_twin", TimestampSigner("guessed").sign(number).decode())
    ranking = re.findall(
        r'name="ranking" value="(\d+)"', page(eve, served, f"/patient?id={CANARY}").text
    )
    of_another = {"ranking": ranking[0], "therapy": "paclitaxel", "reason": "mine"}
    form = {"purpose": "all", "modality": "all", "alert": "1", "note": "x", "ranking": "1"}
    whoever = requests.Session()
    asked: list[tuple[requests.Session, str, dict[str, str] | None]] = [
        *((each, f"/patient?id={PATIENT}", None) for each in (whoever, gone, forged, foreign)),
        *(
            (whoever, path, None)
            for path in ("/record", "/model", f"/patient.fhir.json?id={PATIENT}")
        ),
        (whoever, f"/decision?id={PATIENT}", form),
        *((sam, f"{path}?id={PATIENT}", None) for path in ("/patient", "/what-if", "/dose")),
        (sam, f"/visit?id={PATIENT}&channel={VISIT}", None),
        (sam, "/record", None),
        (sam, f"/consent?id={PATIENT}", form),
        (ada, f"/patient?id={PATIENT}", None),
        (ada, f"/alert?id={PATIENT}", form),
        (ada, f"/stratum?id={PATIENT}", form),
        (eve, "/record", None),
        *((eve, f"{path}?id={WITHDRAWN}", None) for path in ("/patient", "/what-if", "/dose")),
        (eve, f"/patient.fhir.json?id={WITHDRAWN}", None),
        (eve, f"/visit?id={WITHDRAWN}&channel={VISIT}", None),
        (eve, f"/decision?id={WITHDRAWN}", form),
        (eve, f"/decision?id={PATIENT}", of_another),
        (eve, f"/decision?id={PATIENT}", {**of_another, "csrf_token": "guessed"}),
        (eve, f"/visit?id={PATIENT}&channel={VISIT}&amends={other}", None),
        (eve, f"/dose?id={PATIENT}&amends=999", None),
        (eve, "/patient?id=../../etc/passwd", None),
        (eve, "/%2e%2e/%2e%2e/etc/passwd", None),
        (eve, "/patient?id=%3Cscript%3Ealert(1)%3C/script%3E", None),
        (eve, "/patient?id='%20or%201=1--", None),
        (eve, f"/visit?id={PATIENT}&channel={VISIT}&amends=1;drop%20table%20visits", None),
    ]
    assert len(asked) >= 30
    key = bytes.fromhex("ab" * 32)
    before = verify(served.log, key, served.anchor).count
    for who, path, sent in asked:
        url = served.url + path
        if sent is None:
            answer = who.get(url, timeout=60, allow_redirects=False)
        else:
            sent = {"csrf_token": tokens.get(who, ""), **sent}
            answer = who.post(url, sent, timeout=60, allow_redirects=False)
        turned = answer.status_code == 303 and answer.headers["location"] == "/sign-in"
        assert turned or answer.status_code in (403, 404, 422), path
        assert "age years" not in answer.text
        assert "<script>" not in answer.text
    events = read_events(served.log, key, served.anchor)[before:]
    assert [each.event.outcome.value for each in events] == ["refused"] * len(asked)


def test_who_signs_out_or_is_closed_is_out_at_once(served: Running) -> None:
    with closing(Chart.open(served.chart)) as chart:
        set_account(chart, "guest", "clinician", "correct horse battery", by="test")
        guest = served.signed_in("guest")
        copied = requests.Session()
        copied.cookies.update(guest.cookies)
        assert PATIENT in page(copied, served, "/").text
        token = token_in(page(guest, served, "/").text)
        guest.post(f"{served.url}/sign-out", {"csrf_token": token}, timeout=60)
        assert PATIENT not in page(copied, served, "/").text
        again = served.signed_in("guest")
        set_account(chart, "guest", None, "", by="test")
        assert PATIENT not in page(again, served, "/").text


def test_a_page_without_a_log_is_not_served(
    small_run: SmallRun,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    chart = f"chart=sqlite:///{tmp_path_factory.mktemp('bare') / 'chart.db'}"
    assert main(["serve", f"model_uri={small_run.run}", chart, "serve.port=0"]) == 1
    assert "add log=FILE" in capsys.readouterr().err
