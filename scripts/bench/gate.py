"""Right and malformed requests against gate and scoring app: scripts/bench/gate.py RUN [n]."""

from __future__ import annotations

import copy
import http.client
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import SearchStrategy
from mlflow.pyfunc import scoring_server
from serving import listening, record_for

from omics_twin.serve.gate import Gate
from omics_twin.serve.reading import schema_of
from omics_twin.serve.request_schema import request_schema
from omics_twin.serve.server import scorer_of
from omics_twin.settings import ServeSettings, TrackingSettings
from tests.serve import bodies
from tests.serve.bodies import CANARY

_PATIENTS = 3


def wrong(record: dict[str, Any], dice: random.Random) -> bytes:
    """Return a body with one mistake, wherever it falls."""
    bad = copy.deepcopy(record)
    visit = bad["visits"][0]
    modality = dice.choice(list(visit["values"]))
    columns = visit["values"][modality]
    column = dice.choice(list(columns))
    kinds: list[Callable[[], Any]] = [
        lambda: columns.__setitem__(column, dice.choice(["", CANARY, [], {}, True, [CANARY]])),
        lambda: columns.__setitem__(column, dice.choice([float("nan"), float("inf"), -1e308])),
        lambda: columns.__setitem__(CANARY + str(dice.random()), 1.0),
        lambda: visit["values"].__setitem__(CANARY, dice.choice([{}, 1, None, [CANARY]])),
        lambda: visit["values"].__setitem__(modality, dice.choice([CANARY, 1, [], None])),
        lambda: visit.__setitem__("day", dice.choice([CANARY, "0", None, 1e300, [], True])),
        lambda: visit.__setitem__("under", dice.choice([CANARY, 1, [], {}])),
        lambda: visit.__setitem__(CANARY, 1),
        lambda: bad.__setitem__(dice.choice([CANARY, "ssn", "name"]), CANARY),
        lambda: bad.__setitem__("patient_id", dice.choice(["", 1, None, [], {}, "x" * 201])),
        lambda: bad.__setitem__("stratum", dice.choice([CANARY, {CANARY: "1"}, [], None, 3])),
        lambda: bad["stratum"].update({next(iter(bad["stratum"]), "none"): CANARY}),
        lambda: bad.__setitem__("visits", dice.choice([CANARY, {}, 1, None, [1], [[]]])),
        lambda: bad["visits"].append(copy.deepcopy(visit)),
        lambda: bad["visits"].append({"day": -5}),
        lambda: bad.pop("patient_id"),
    ]
    raw = dice.random()
    if raw < 0.75:
        dice.choice(kinds)()
        return json.dumps({"inputs": [bad]}).encode()
    text = json.dumps({"inputs": [record]})
    cut = dice.randrange(len(text))
    return dice.choice(
        [
            text[:cut].encode(),
            text.replace('"day": 0', f'"day": {dice.random()}, "day": 0').encode(),
            (text[:cut] + "\\ufffe" + text[cut:] + "}").encode(),
            text.encode("utf-16"),
            json.dumps({dice.choice(["instances", CANARY, "inputs "]): [record]}).encode(),
            json.dumps({"inputs": dice.choice([[], {}, CANARY, None, record])}).encode(),
            json.dumps({"inputs": [record, record]}).encode(),
            json.dumps({"inputs": [record], CANARY: dice.random()}).encode(),
        ]
    )


def drawn(kind: SearchStrategy[Any], number: int) -> list[bytes]:
    """Return as many bodies as hypothesis draws."""
    found: list[bytes] = []

    @seed(0)
    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(kind)
    def keep(body: Any) -> None:
        found.append(json.dumps(body).encode())

    keep()
    return found[:number]


def asked(port: int, bodies: list[bytes]) -> tuple[Counter[int], int, float]:
    """Return how many answers had which status, how many held a canary, and seconds."""
    counts: Counter[int] = Counter()
    leaked, begun = 0, time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for body in bodies:
        connection.request("POST", "/invocations", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        counts[answer.status] += 1
        leaked += CANARY.encode() in answer.read()
    return counts, leaked, time.perf_counter() - begun


def main(run: str, number: int = 10_000) -> None:
    scorer = scorer_of(run, TrackingSettings(enabled=False))
    record = record_for(schema_of(scorer.model))
    right = json.dumps({"inputs": [record]}).encode()
    dice = random.Random(0)
    part = max(1, number // 10)
    schema = request_schema(scorer.model, _PATIENTS)
    mistakes = {
        "one mistake in a whole record": [wrong(record, dice) for _ in range(number)],
        "one mistake in what the schema allows": drawn(bodies.wrong(schema), number),
    }
    allowed = drawn(bodies.right(schema), part)
    app = scoring_server.init(scorer.scored)
    gate = Gate(app, scorer.scored, scorer.model, ServeSettings())
    for name, each, share in (("gate", gate, number), ("scoring app alone", app, part)):
        port = listening(each)
        print(f"{name}: a right body {dict(asked(port, [right])[0])}", flush=True)
        for kind, sent in {**mistakes, "what the schema allows": allowed}.items():
            counts, leaked, seconds = asked(port, sent[:share])
            print(
                f"  {kind}, {sum(counts.values())} bodies: {dict(sorted(counts.items()))}; "
                f"{leaked} answers repeat what was sent; "
                f"{1000 * seconds / sum(counts.values()):.1f} ms each",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1], *(int(each) for each in sys.argv[2:]))
