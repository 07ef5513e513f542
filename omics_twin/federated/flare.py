"""NVIDIA FLARE carries the messages: bytes between each site's process and the server's.

FLARE starts one process per site, knows who is who, and encrypts between machines; what is said is
:mod:`omics_twin.federated.exchange`'s. A message is text and bytes of safetensors or JSON, which
FLARE packs with msgpack: nothing is pickled.
"""

from __future__ import annotations

import json
import os
import threading
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from nvflare.collab import CollabRecipe, collab

from omics_twin.config import Config, plain, restored
from omics_twin.errors import OmicsTwinError, TrainingError
from omics_twin.federated.exchange import Exchange
from omics_twin.federated.meeting import Meeting
from omics_twin.report.console import Console

JOB = "omics_twin"
COHORT, OUTPUT, LEDGER = (
    "OMICS_TWIN_SITE_COHORT",
    "OMICS_TWIN_SITE_OUTPUT",
    "OMICS_TWIN_SITE_LEDGER",
)
"""Where a site on a machine of its own has its files, leaves its twin and reads its consents."""
ENDED = "federation ended:"
_MORE = 60.0


class MeetingServer:
    """The server's process: parts of messages meet here.

    Parameters
    ----------
    sites
        Names of the sites.
    wait_seconds
        How long to wait for one of them [s].
    """

    def __init__(self, sites: list[str], wait_seconds: float) -> None:
        self.sites = sites
        self.wait_seconds = wait_seconds

    @collab.init
    def begin(self) -> None:
        """Make ready for a run."""
        self._meeting = Meeting(self.sites, self.wait_seconds)
        self._left: set[str] = set()
        self._over = threading.Event()

    @collab.publish
    def answer(self, number: int, kind: str, name: str, part: bytes) -> dict[str, Any]:
        """Return the answer to a site's message, or why there is none."""
        try:
            return {"answer": self._meeting.answer(collab.caller, number, kind, name, part)}
        except TrainingError as error:
            return {"refused": str(error)}

    @collab.publish
    def leave(self, reason: str) -> None:
        """Hear that a site has finished or, with a reason, cannot go on."""
        if reason:
            self._meeting.leave(collab.caller, reason)
            print(ENDED, reason, flush=True)
        self._left.add(collab.caller)
        if reason or self._left == set(self.sites):
            self._over.set()

    @collab.main
    def run(self) -> None:
        """Ask every site to begin, and wait for the last to finish."""
        collab.clients(expect_result=False).learn()
        while not (self._over.wait(1.0) or collab.is_aborted):
            pass


class SiteClient:
    """A site's process: it reads its own folder and nothing else."""

    @collab.publish
    def learn(self) -> None:
        """Train in step with the other sites."""
        from omics_twin.federated.site import learn_at_site

        name, server = str(collab.site_name), collab.server
        config = restored(json.loads(collab.get_app_prop("settings")))
        sites = list(collab.get_app_prop("sites"))
        federation = config.trainer.federation

        def send(number: int, kind: str, told: str, part: bytes) -> bytes:
            # The server answers within its own wait, or says why not.
            call = server(timeout=federation.wait_seconds + _MORE)
            found = call.answer(number=number, kind=kind, name=told, part=part)
            if "refused" in found:
                raise TrainingError(found["refused"])
            return bytes(found["answer"])

        try:
            config, output = _own_place(config)
            exchange = Exchange(name, sites, send, masked=federation.masked)
            learn_at_site(config, exchange, output, Console())
        except OmicsTwinError as error:
            server.leave(reason=str(error))
        except BaseException as error:
            traceback.print_exc()
            server.leave(reason=f"site '{name}' stopped: {type(error).__name__}")
            raise
        else:
            server.leave(reason="")


def _own_place(config: Config) -> tuple[Config, Path]:
    """Return the settings with this site's own folder of patients, and where its twin goes."""
    root = collab.get_app_prop("cohort_root") or os.environ.get(COHORT)
    output = collab.get_app_prop("output") or os.environ.get(OUTPUT)
    if not root or not output:
        raise TrainingError(
            f"site '{collab.site_name}' has no {COHORT if not root else OUTPUT}: set it to a "
            "folder of this site before its client starts"
        )
    ledger = os.environ.get(LEDGER) or config.trust.ledger
    return (
        replace(
            config,
            cohort=replace(config.cohort, root=root),
            trust=replace(config.trust, ledger=ledger),
        ),
        Path(output),
    )


def write_job(
    folder: Path, config: Config, sites: list[str], places: dict[str, dict[str, str]] | None = None
) -> Path:
    """Write the job that FLARE runs, and return its folder.

    Parameters
    ----------
    places
        Each site's ``cohort_root`` and ``output`` where all are on this machine; None: each site
        has them in its own environment.
    """
    server = MeetingServer(sites, config.trainer.federation.wait_seconds)
    recipe = CollabRecipe(JOB, server=server, client=SiteClient(), min_clients=len(sites))
    recipe.set_client_prop("settings", json.dumps(plain(config)))
    recipe.set_client_prop("sites", sites)
    recipe.set_per_site_config(places or {site: {} for site in sites})
    recipe.export(str(folder))
    return folder / JOB
