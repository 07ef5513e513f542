"""The space of a search: Hydra's grammar of sweeps, every mistake one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from omics_twin.config import load, read_overrides
from omics_twin.errors import ConfigError
from omics_twin.searches.space import axes_of, overrides_of, with_values

EMPTY = [
    f"~search.space.{each}"
    for each in (
        "trainer.learning_rate",
        "trainer.weight_decay",
        "trainer.divergence_weight",
        "trainer.modality_dropout",
        "model.dropout",
        "model.initial_precision",
    )
]


def test_the_standard_space_is_six_settings_of_one_batch() -> None:
    axes = axes_of(load("search", []))
    assert len(axes) == 6
    by_key = {axis.key: axis for axis in axes}
    assert by_key["trainer.weight_decay"].log
    assert not by_key["model.dropout"].log


def test_every_way_to_write_values_is_read() -> None:
    config = load(
        "search",
        [
            *(each for each in EMPTY if "weight_decay" not in each),
            "search.space.trainer.weight_decay=tag(log, interval(0.1, 10))",
            "search.space.model.hidden=8,16",
            "search.space.model.latent='range(2, 8, 2)'",
            'search.space.trainer.patience="int(interval(5, 20))"',
        ],
    )
    listed = {each.key: each for each in axes_of(config)}
    assert len(listed) == 4
    decay = listed["trainer.weight_decay"]
    assert (decay.low, decay.high, decay.log) == (0.1, 10.0, True)
    assert listed["model.hidden"].choices == (8, 16)
    assert listed["model.latent"].choices == (2, 4, 6)
    assert listed["trainer.patience"].ends == (5, 20)
    assert listed["trainer.patience"].whole


def test_a_trial_changes_its_settings_only_and_can_be_written_down() -> None:
    config = load("search", [])
    values = {"trainer.weight_decay": 0.5, "model.hidden": 8}
    changed = with_values(config, values)
    assert (changed.trainer.weight_decay, changed.model.hidden) == (0.5, 8)
    assert changed.trainer.learning_rate == config.trainer.learning_rate
    again = load("search", overrides_of(values))
    assert (again.trainer, again.model) == (changed.trainer, changed.model)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("trainer.weight_decayy=1,2", "unknown key 'trainer.weight_decayy' in search.space: did"),
        ("split.folds=2,3", "'split.folds' cannot be searched, expected a setting of trainer"),
        ("trainer.seed=1,2", "'trainer.seed' is not a way to learn"),
        ("trainer.weight_decay=interval(3, 1)", "the interval of 'trainer.weight_decay' is empty"),
        ("trainer.weight_decay=tag(log, interval(0, 1))", "more than 0 on the logarithmic scale"),
        ("trainer.weight_decay=interval(-1, 1)", "'trainer.weight_decay' is -1, expected"),
        ("model.dropout=interval(0, 2)", "'model.dropout' is 2, expected 0 to 0.95"),
        ("model.hidden=interval(4, 8)", "'model.hidden' takes whole numbers, found 4.0"),
        ("model.hidden=a,b", "'model.hidden' takes whole numbers, found 'a'"),
        ("model.hidden=8", "'model.hidden' has one value, 8: set it with model.hidden=8"),
        ("model.hidden=choice(8)", "'model.hidden' has 1 values, expected at least 2"),
        ("model.hidden=interval(1", "cannot read the settings"),
        ("model.hidden='interval(1'", "cannot read the values of 'model.hidden'"),
        ("model.hidden=glob(x)", "'model.hidden' has one value"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(setting: str, sentence: str) -> None:
    key = setting.split("=")[0]
    others = [each for each in EMPTY if each != f"~search.space.{key}"]
    with pytest.raises(ConfigError) as caught:
        axes_of(load("search", [*others, f"search.space.{setting}"]))
    assert sentence in str(caught.value)


def test_an_empty_space_is_refused() -> None:
    with pytest.raises(ConfigError, match="'search.space' is empty"):
        axes_of(load("search", EMPTY))


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("search.trials=0", "'search.trials' is 0"),
        ("search.batch=0", "'search.batch' is 0"),
        ("search.inner_folds=1", "'search.inner_folds' is 1"),
        ("search.outer_folds=1", "'search.outer_folds' is 1"),
        ("search.timeout_minutes=-1", "'search.timeout_minutes' is -1"),
        ("search.trails=3", "unknown key 'search.trails': did you mean 'trials'?"),
    ],
)
def test_a_budget_of_nothing_is_refused(setting: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load("search", [setting])
    assert sentence in str(caught.value)


def test_a_file_of_settings_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    path.write_text("# chosen\n- trainer.weight_decay=0.5\n- model.hidden=8\n")
    assert read_overrides(str(path)) == ["trainer.weight_decay=0.5", "model.hidden=8"]
    path.write_text("[]\n")
    assert read_overrides(str(path)) == []
    path.write_text("trainer: 3\n")
    with pytest.raises(ConfigError, match="expected lines such as '- key=value'"):
        read_overrides(str(path))
