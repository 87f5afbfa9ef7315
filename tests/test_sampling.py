from __future__ import annotations

import json

import pytest

from valley.errors import UserError
from valley.evaluate.per_problem import LISTS, pack
from valley.evaluate.profiles import GenerateConfig, Profile
from valley.job_file import identity_of, read_job, write_result
from valley.ledger import Ledger
from valley.lock import Locks
from valley.records import digest
from valley.retention import needed
from valley.sampling import DrawnRounds
from valley.store import Store
from valley.sweep import load_sweep
from valley.trail import trail
from valley.yaml_faults import write_yaml

GRID = """
name: drawn
students: {tiny: {source: tiny}}
data: {source: tiny}
train: {batch_size: 8}
generate: {profiles: {paper: {rounds: 4, until_interval: 0.2}, greedy: {}}}
grid: [{size: [0, 8]}]
"""


class World:
    def __init__(self, folder, grid=GRID):
        self.path = folder / "grid.yaml"
        self.path.write_text(grid)
        self.sweep, self.cells = load_sweep(self.path)
        self.store = Store(folder / "runs")

    def draw(self):
        rounds = DrawnRounds.of(self.sweep, self.cells, self.store)
        return rounds.whole, rounds.drawings

    def most(self):
        return DrawnRounds.of(self.sweep, self.cells, self.store).most

    def grade(self, row, counts):
        lists = dict.fromkeys(LISTS[1:-1], [0] * len(counts))
        outcome = pack({"counts": counts, **lists})
        write_result(read_job(self.store.lay(row.grade, {})), outcome, {}, {})


OLD_GREEDY = "d6f2ce880a91cedec34f2caefdb6535ed8b427dd46a27bd25be43482fadacaff"
OLD_PAPER = "f5f5aa6c32ba282717e6378e82f6fa913c8b71dd8bf48e43f4a15405dd7ad897"
NARROW = [[4, 0]] * 200
WIDE = [[4, i % 5] for i in range(10)]


def test_the_first_round_is_the_same_profile_of_fewer_samples(spaced):
    whole, (drawing,) = World(spaced).draw()
    assert [r.profile for r in whole.rows] == ["paper", "greedy"] * 2
    assert (drawing.number, drawing.of, drawing.is_graded) == (1, 4, False)
    (spaced / "plain").mkdir()
    plain = GRID.replace("rounds: 4, until_interval: 0.2", "samples: 4")
    world = World(spaced / "plain", plain)
    assert [job.identity for job in whole.jobs] == [
        job.identity for job in trail(world.sweep, world.cells).jobs
    ]


def test_a_round_begins_when_every_cell_has_the_one_before(spaced):
    world = World(spaced)
    whole, _ = world.draw()
    first, second = (row for row in whole.rows if row.profile == "paper")
    world.grade(first, WIDE)
    assert world.draw()[1][0].number == 1
    world.grade(second, NARROW)
    whole, (drawing,) = world.draw()
    assert drawing.number == 2 and "round 2 of 4" in drawing.sentence
    rows = [row for row in whole.rows if row.profile == "paper"]
    assert [row.earlier for row in rows] == [[(r.generate, r.grade)] for r in (first, second)]
    assert [row.generate.config["profile"]["samples"] for row in rows] == [8, 8]
    world.grade(rows[0], NARROW)
    world.grade(rows[1], NARROW)
    _, (drawing,) = world.draw()
    assert drawing.number == 2 and drawing.is_over
    assert "sampling stopped after 2 of 4 rounds: widest 95 % interval" in drawing.sentence


def test_without_a_width_all_rounds_are_drawn(spaced):
    world = World(spaced, GRID.replace(", until_interval: 0.2", ""))
    for number in range(1, 5):
        whole, (drawing,) = world.draw()
        assert drawing.number == number
        for row in whole.rows:
            world.grade(row, NARROW)
    assert world.draw()[1][0].is_over


def test_one_sample_of_each_problem_decides_nothing(spaced):
    """The interval's width would be the score's alone, and stopping would pick among scores."""
    world = World(spaced, GRID.replace("rounds: 4,", "samples: 4, rounds: 4,"))
    for number, stops in ((1, False), (2, True)):
        whole, (drawing,) = world.draw()
        assert drawing.number == number
        assert ("is wider than 0.2" in drawing.sentence) == stops
        for row in whole.rows:
            world.grade(row, [[number, 0]] * 200)
    _, (drawing,) = world.draw()
    assert (drawing.number, drawing.is_over) == (2, True)


def test_prices_are_of_all_rounds_that_may_come(spaced):
    world = World(spaced)
    both = world.draw()[0], world.most()
    answers = [sum(j.examples for j in t.jobs if j.kind == "generate") for t in both]
    assert answers[1] / answers[0] == (16 + 1) / (4 + 1)


def test_weights_stay_until_sampling_is_over(spaced):
    world = World(spaced)
    for row in world.draw()[0].rows:
        world.grade(row, WIDE)
    whole, drawings = world.draw()
    for is_over in (False, True):
        ledger = Ledger(spaced / "sweeps" / str(is_over))
        sampling = {d.profile: d.as_json() | {"is_over": is_over} for d in drawings}
        ledger.write_manifest(whole.rows, world.store, sampling)
        asked = needed(ledger.rows(), lambda at: True, lambda at: "tiny" in at, lambda at: True)
        assert bool(asked) != is_over


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ("{rounds: 3}", "16 samples in 3 rounds"),
        ("{until_interval: 0.1}", "with one round"),
        ("{samples: 2, rounds: 2, until_interval: 0.1}", "set samples to 4 or more"),
    ],
)
def test_rounds_that_make_no_sense_are_refused(spaced, profile, said):
    with pytest.raises(UserError, match=said):
        World(spaced, GRID.replace("{rounds: 4, until_interval: 0.2}", profile))


def test_cells_that_draw_in_different_rounds_are_refused(spaced):
    grid = GRID.replace("size: [0, 8]", "size: 8, generate.profiles.paper.rounds: [2, 4]")
    with pytest.raises(
        UserError, match=r"16 samples in 2 rounds until 0\.2 and 16 samples in 4 rounds"
    ):
        World(spaced, grid).draw()


def test_cells_that_would_have_unequal_numbers_of_samples_are_refused(spaced):
    grid = GRID.replace("size: [0, 8]", "size: 8, generate.profiles.paper.samples: [8, 16]")
    with pytest.raises(UserError, match=r"8 samples in 4 rounds until 0\.2 and 16 samples"):
        World(spaced, grid).draw()


def test_rounds_leave_the_identities_of_other_profiles_as_they_were():
    """Those of the version before rounds: what was done then stays done."""
    config = GenerateConfig()
    assert digest(config.semantic(Profile())) == OLD_GREEDY
    assert digest(config.semantic(Profile(samples=16, temperature=0.6, top_p=0.95))) == OLD_PAPER


@pytest.mark.parametrize("resources", ["", "resources: {generate: {shards: 2}}\n"])
def test_a_further_round_rests_on_the_one_before(spaced, resources):
    """And not on held-out traces again, which the first round has asked of the student."""
    held_out = GRID.replace("generate: {", "generate: {held_out: {traces: 4}, ") + resources
    world = World(spaced, held_out)
    whole = trail(world.sweep, world.cells, {"paper": 3})
    for job in whole.jobs:
        roles = {role: parent.identity for role, parent in job.inputs.items()}
        assert job.identity == identity_of(job.kind, job.config, roles), job.label
    row = next(row for row in whole.rows if row.profile == "paper")
    rounds = [*row.earlier, (row.generate, row.grade)]
    assert [made.config["profile"]["samples"] for made, _ in rounds] == [4, 8, 12]
    assert ["held_out" in made.inputs for made, _ in rounds] == [True, False, False]
    for number, (made, grade) in enumerate(rounds):
        before = rounds[number - 1] if number else (None, None)
        assert (made.inputs.get("earlier"), grade.inputs.get("earlier")) == before
        shards = [job for job in made.after if "shard" in job.config]
        assert len(shards) == (2 if resources else 0)
        for first, shard in zip((True, False), shards, strict=False):
            assert shard.inputs.get("earlier") == before[0]
            assert ("held_out" in shard.inputs) == (first and number == 0)
            assert shard.examples == 4 * 300 / 2


WHEN = "when: [{if: {size: 8}, set: {train.batch_size: 4}}]\n"


@pytest.mark.parametrize("conditions", ["", WHEN])
def test_a_lock_is_drawn_in_as_many_rounds_as_the_sweep_was(spaced, conditions):
    """However wide the interval of its one cell is."""
    world = World(spaced, GRID + conditions)
    whole = trail(world.sweep, world.cells, {"paper": 2})
    row = next(row for row in whole.rows if row.profile == "paper")
    lock = Locks(world.sweep, whole.rows).of(row.grade)
    again = spaced / "again"
    again.mkdir()
    locked = World(again, write_yaml(json.loads(json.dumps(lock))))
    assert {job.identity for job, _ in row.earlier} | {row.grade.identity} <= {
        job.identity for job in locked.most().jobs
    }
    for count in (1, 2):
        first, (drawing,) = locked.draw()
        assert (drawing.number, drawing.of) == (count, 2)
        for each in first.rows:
            locked.grade(each, NARROW)
    assert locked.draw()[1][0].is_over
