"""From a visit's score to what a clinician is told: what kind of surprise, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from omics_twin.alerts.adaptive import AdaptiveLevel
from omics_twin.alerts.evidence import Evidence, combined, normal_score

_STRIKING = 3.0
_BACK = 1.5
_WIDE = 2.0


class Kind(Enum):
    """What an alert is about."""

    UNEXPLAINED = "unexplained change"
    MEASUREMENT = "measurement to be checked"
    NO_BENEFIT = "lack of benefit"


@dataclass(frozen=True)
class Alert:
    """What a clinician is told.

    Attributes
    ----------
    day
        Of the visit [day].
    evidence
        How strong it is: an e-value, or the belief in benefit.
    sentence
        What was found and what to do.
    """

    kind: Kind
    day: float
    evidence: float
    sentence: str


@dataclass(frozen=True)
class Scored:
    """A visit as it was forecast.

    Attributes
    ----------
    day
        Of the visit [day].
    shares
        Channel -> share of the forecast below what came.
    draws
        Draws of the forecast.
    relative_width
        Width of the 90 % interval as a share of what was expected.
    therapy_changed
        Whether the therapy since the visit before is not the one that was forecast under.
    """

    day: float
    shares: Mapping[str, float]
    draws: int
    relative_width: float = 0.0
    therapy_changed: bool = False


@dataclass(frozen=True)
class Watch:
    """What has been seen of one patient's forecasts; never changed in place.

    It is not stored: it follows from the visits, as the belief does, and is made again from them
    at every visit, so that it can be no other than what they say.

    Attributes
    ----------
    false_alarms
        Share of patients for whom a false alarm is ever raised, at most.
    evidence
        Channel -> e-process.
    level
        Adaptive level of the intervals.
    last
        Channel -> normal score of the visit before.
    raised
        Whether an unexplained change has been told of; it is told once.
    """

    false_alarms: float = 0.05
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    level: AdaptiveLevel = AdaptiveLevel()
    last: Mapping[str, float] = field(default_factory=dict)
    raised: bool = False

    def after(self, visit: Scored) -> tuple[Watch, tuple[Alert, ...]]:
        """Return the watch after a visit, and what is to be told.

        A change of therapy explains a surprise: the visit is not counted. Where a forecast is
        wider than twice what was expected, it says nothing and is not counted either.
        """
        if visit.therapy_changed or visit.relative_width > _WIDE or not visit.shares:
            return self, ()
        scores = {name: normal_score(each, visit.draws) for name, each in visit.shares.items()}
        evidence = {
            name: self.evidence.get(name, Evidence()).after(score) for name, score in scores.items()
        }
        low, high = self.level.tails
        missed = any(not low <= each <= high for each in visit.shares.values())
        now = replace(
            self,
            evidence={**self.evidence, **evidence},
            level=self.level.after(missed=missed),
            last={**self.last, **scores},
        )
        alerts = [
            each for each in (self._odd(visit, scores), now._changed(visit)) if each is not None
        ]
        if any(alert.kind is Kind.UNEXPLAINED for alert in alerts):
            now = replace(now, raised=True)
        return now, tuple(alerts)

    @property
    def value(self) -> float:
        """Evidence of all channels together."""
        return combined([each.value for each in self.evidence.values()]) if self.evidence else 1.0

    def _odd(self, visit: Scored, scores: Mapping[str, float]) -> Alert | None:
        """Tell of one channel that jumps while all others are as expected."""
        # Beyond every draw is striking, however few they are.
        striking = min(_STRIKING, -normal_score(0.0, visit.draws))
        far = [name for name, each in scores.items() if abs(each) >= striking]
        others = [each for name, each in scores.items() if name not in far]
        before = self.last.get(far[0], 0.0) if len(far) == 1 else 0.0
        calm = all(abs(each) < _BACK for each in others) and abs(before) < _BACK
        if len(far) != 1 or not calm or (len(scores) == 1 and not self.last):
            return None
        return Alert(
            Kind.MEASUREMENT,
            visit.day,
            abs(scores[far[0]]),
            f"'{far[0]}' on day {visit.day:g} is {abs(scores[far[0]]):.1f} standard deviations "
            "from what was expected, after visits that were as expected: measure it again before "
            "acting on it",
        )

    def _changed(self, visit: Scored) -> Alert | None:
        if self.raised or self.value < 1.0 / self.false_alarms:
            return None
        return Alert(
            Kind.UNEXPLAINED,
            visit.day,
            self.value,
            f"the patient is no longer where the twin expects (evidence {self.value:.0f}, alarm "
            f"at {1.0 / self.false_alarms:.0f}): look for a change that the twin does not know of",
        )


def lack_of_benefit(
    day: float,
    better: float,
    *,
    least: float = 0.2,
    over: str = "no treatment",
    margin: float = 0.0,
) -> Alert | None:
    """Return the alert that the present therapy does not help, where that is believed.

    Where the belief is right, at most a share of ``least`` of the patients for whom it is ever
    raised fare better under the present therapy, however often one looks: what is believed when
    one stops is right as well.

    Parameters
    ----------
    better
        Belief that the patient fares better under the present therapy than otherwise.
    least
        An alert is raised below this.
    over
        What the present therapy is compared with.
    margin
        In units of the endpoint: who fares worse by less is counted with those who fare better.

    Examples
    --------
    >>> lack_of_benefit(56.0, 0.9) is None
    True
    """
    if better >= least:
        return None
    held = f"better than {over}" if margin <= 0 else f"not worse than {over} by {margin:g} or more"
    return Alert(
        Kind.NO_BENEFIT,
        day,
        better,
        f"the belief that the present therapy is {held} is {better:.2f} on day "
        f"{day:g}, below {least:g}: consider another therapy",
    )
