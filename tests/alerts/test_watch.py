"""What a clinician is told of a surprise, and what is kept quiet."""

from __future__ import annotations

from collections.abc import Sequence

from omics_twin.alerts.watch import Alert, Kind, Scored, Watch, lack_of_benefit


def seen(shares: Sequence[float], **more: object) -> tuple[Watch, list[Alert]]:
    watch, told = Watch(), []
    for visit, share in enumerate(shares):
        watch, alerts = watch.after(
            Scored(56.0 * visit, {"size": share}, draws=1000, **more)  # type: ignore[arg-type]
        )
        told += alerts
    return watch, told


def test_visits_as_expected_raise_nothing() -> None:
    watch, told = seen([0.4, 0.6, 0.2, 0.8, 0.5, 0.45])
    assert not told
    assert watch.value < 2.0


def test_a_lasting_change_is_told_once() -> None:
    watch, told = seen([0.5, 0.5, 0.97, 0.98, 0.985, 0.99, 0.99, 0.99])
    assert [alert.kind for alert in told] == [Kind.UNEXPLAINED]
    assert watch.raised
    assert "no longer where the twin expects" in told[0].sentence


def test_a_single_jump_is_to_be_measured_again() -> None:
    _, told = seen([0.5, 0.4, 0.9995, 0.5])
    assert [alert.kind for alert in told] == [Kind.MEASUREMENT]
    assert told[0].day == 112.0
    assert "measure it again" in told[0].sentence


def test_one_channel_among_others_as_expected_is_to_be_measured_again() -> None:
    watch, _ = Watch().after(Scored(0.0, {"size": 0.5, "marker": 0.5}, 1000))
    _, told = watch.after(Scored(56.0, {"size": 0.9999, "marker": 0.5}, 1000))
    assert [alert.kind for alert in told] == [Kind.MEASUREMENT]


def test_a_change_of_therapy_explains_a_surprise() -> None:
    watch, told = seen([0.999, 0.999, 0.999], therapy_changed=True)
    assert not told
    assert watch == Watch()


def test_a_forecast_too_wide_says_nothing() -> None:
    watch, told = seen([0.999, 0.999], relative_width=5.0)
    assert not told
    assert watch == Watch()


def test_lack_of_benefit_is_told_where_it_is_believed() -> None:
    alert = lack_of_benefit(84.0, 0.05)
    assert alert is not None
    assert alert.kind is Kind.NO_BENEFIT
    assert "is 0.05 on day 84, below 0.2" in alert.sentence
    assert lack_of_benefit(84.0, 0.4) is None
    beside = lack_of_benefit(84.0, 0.05, over="'carboplatin'", margin=0.1)
    assert beside is not None
    assert "not worse than 'carboplatin' by 0.1 or more is 0.05" in beside.sentence
