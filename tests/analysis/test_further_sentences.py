from __future__ import annotations

from further_sentences import next_step

DESIGN = {"problems": 6, "samples": 1, "seeds": 3}
DECIDING = {
    "depth": 0.05,
    "now": DESIGN,
    "enough": False,
    "same_problems": None,
    "more_problems": {**DESIGN, "problems": 600},
    "assumed": [],
}


def series(baseline):
    return {
        "valley": {"verdict": "INCONCLUSIVE"},
        "trough": None,
        "recovery_size": None,
        "baseline": {"value": baseline},
        "deciding": DECIDING,
    }


def test_below_a_baseline_of_nothing_no_valley_is_to_be_looked_for():
    said = next_step(series(0.0), twinned=False)
    assert said.startswith(
        "Next: problems of which the student can solve some: below a baseline of 0.000"
    )
    assert "by 600 problems x 1 sample x 3 seeds" in next_step(series(0.3), twinned=False)
