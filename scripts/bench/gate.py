"""Malformed requests against the gate and MLflow's scoring app: scripts/bench/gate.py RUN [n]."""

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

from mlflow.pyfunc import scoring_server
from serving import listening, record_for

from omics_twin.serve.gate import Gate
from omics_twin.serve.reading import schema_of
from omics_twin.serve.server import scorer_of
from omics_twin.settings import ServeSettings, TrackingSettings

CANARY = "KANARIE4711"


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
    bodies = [wrong(record, dice) for _ in range(number)]
    app = scoring_server.init(scorer.scored)
    for name, each, sent in (
        ("gate", Gate(app, scorer.scored, scorer.model, ServeSettings()), bodies),
        ("scoring app alone", app, bodies[: max(1, number // 10)]),
    ):
        port = listening(each)
        print(f"{name}: a right body {dict(asked(port, [right])[0])}")
        counts, leaked, seconds = asked(port, sent)
        print(
            f"  {len(sent)} wrong bodies: {dict(sorted(counts.items()))}; {leaked} answers repeat "
            f"what was sent; {1000 * seconds / len(sent):.1f} ms each"
        )


if __name__ == "__main__":
    main(sys.argv[1], *(int(each) for each in sys.argv[2:]))
