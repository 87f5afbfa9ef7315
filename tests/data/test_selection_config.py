from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from valley.data.config import TinyConfig
from valley.data.selection_config import (
    CleanConfig,
    CorrectnessConfig,
    DifficultyConfig,
    MatchConfig,
    MixConfig,
    PerturbConfig,
    SelectConfig,
)
from valley.data.sources.evaluation_config import EvaluationPart
from valley.data.sources.pool_config import PoolPart

ARMS = ["all/correct", "all/incorrect"]
SHARES = {"A": 1}


@pytest.mark.parametrize(
    ("config", "idle", "needed"),
    [
        (CorrectnessConfig, {"by": "judgement", "threshold": 0.5}, {"by": "pass_rate"}),
        (CorrectnessConfig, {"threshold": 0.5}, {"by": "pass_rate"}),
        (DifficultyConfig, {"by": "pass_rate", "easy": ["E"]}, {"by": "label"}),
        (DifficultyConfig, {"by": "trace_length", "hard": []}, {"by": "label"}),
        (DifficultyConfig, {"easy_from": 0.9}, {"by": "pass_rate"}),
        (DifficultyConfig, {"by": "trace_length", "hard_below": 0.1}, {"by": "pass_rate"}),
        (CleanConfig, {"near_similarity": 0.9}, {"duplicates": "near"}),
        (CleanConfig, {"duplicates": "exact", "near_similarity": 0.9}, {"duplicates": "near"}),
        (
            MatchConfig,
            {"arms": ARMS, "by": ["label"], "bins_per_doubling": 4},
            {"by": ["label", "length"]},
        ),
        (MixConfig, {"by": "teacher", "shares": SHARES, "split_characters": 9}, None),
        (PerturbConfig, {"kind": "steps_shuffled", "fraction": 0.3}, {"kind": "steps_deleted"}),
        (PerturbConfig, {"kind": "answer_corrupted", "fraction": 0.3}, {"kind": "steps_deleted"}),
        (
            TypeAdapter(PoolPart),
            {"source": "taco", "path": "x", "traces": "y", "solutions_per_problem": 2},
            {"traces": None},
        ),
        (TinyConfig, {"direct_answers": 0, "direct_lengths": [2]}, {"direct_answers": 9}),
    ],
)
def test_a_setting_without_effect_is_refused_and_its_default_is_not(config, idle, needed):
    validate = getattr(config, "model_validate", None) or config.validate_python
    with pytest.raises(ValidationError, match="has no effect"):
        validate(idle)
    if needed is not None:
        made = validate({**idle, **needed})
        # What jobs are told holds every setting, and is read again.
        validate(made.model_dump(mode="json"))


def test_the_settings_at_their_defaults_may_be_said():
    for config, by in ((CorrectnessConfig, "judgement"), (DifficultyConfig, "trace_length")):
        made = config.model_validate({"by": by})
        assert config.model_validate(made.model_dump(mode="json")) == made


def test_a_setting_that_stands_there_twice_is_refused():
    with pytest.raises(ValidationError, match="by: length stands there twice"):
        MatchConfig(arms=ARMS, by=["length", "label", "length"])
    twice = {"source": "opencodereasoning", "path": "x", "splits": ["split_0", "split_0"]}
    with pytest.raises(ValidationError, match="split_0 stands there twice"):
        TypeAdapter(PoolPart).validate_python(twice)


def test_shares_of_one_teacher_are_refused():
    mix = {"by": "teacher", "shares": SHARES}
    with pytest.raises(ValidationError, match="one teacher to share"):
        SelectConfig.model_validate({"teacher": "A", "mix": mix})
    SelectConfig.model_validate({"mix": mix})


def test_a_label_that_taco_does_not_have_is_refused():
    asked = {"source": "taco", "path": "x", "difficulties": ["EASY", "MEDUIM"]}
    with pytest.raises(ValidationError, match="'MEDUIM' found; expected of EASY, MEDIUM,"):
        TypeAdapter(EvaluationPart).validate_python(asked)
