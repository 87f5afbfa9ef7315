from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from valley.attempts import note_attempt
from valley.cluster import slurm
from valley.job import Job
from valley.job_file import identity_of, read_job, write_failure, write_result
from valley.ledger import Submission
from valley.processes import this_process
from valley.records import write_json
from valley.state import Ticket, knowledge
from valley.store import Store


def made(kind, name, inputs=None):
    ids = {role: job.identity for role, job in (inputs or {}).items()}
    return Job(kind, identity_of(kind, {"n": name}, ids), name, {"n": name}, inputs or {})


@pytest.fixture
def laid(spaced):
    store = Store(spaced)
    job = made("train", "a-label")
    return store, job.identity, read_job(store.lay(job, {}))


def submitted(identity, job_id="7", elements=None):
    return Submission("i", "slurm", Path("/logs"), elements or [["x"], [identity]], job_id)


@pytest.fixture
def scheduler(monkeypatch):
    """Slurm's answers, and how often it was asked."""
    asked = []

    def use(queue, accounting):
        monkeypatch.setattr(slurm, "queue", lambda: asked.append("squeue") or queue)
        monkeypatch.setattr(slurm, "accounting", lambda ids: asked.append("sacct") or accounting)
        folders = {task.folder: array for (array, _), task in accounting.items() if task.folder}
        monkeypatch.setattr(slurm, "accounting_by_folder", lambda since: folders)
        return asked

    return use


def test_results_come_before_whatever_slurm_says(laid, scheduler):
    store, identity, job = laid
    asked = scheduler({("7", 1): slurm.Task("RUNNING", "None")}, {})
    write_result(job, {}, {}, {})
    assert knowledge(store, [submitted(identity)])(Ticket("train", identity)).state == "done"
    assert asked == []


@pytest.mark.parametrize("read_only", [True, False])
def test_a_damaged_result_is_why_its_job_is_new_whatever_slurm_forgot(laid, scheduler, read_only):
    store, identity, job = laid
    store.read_only = read_only
    scheduler({}, {})
    write_result(job, {}, {}, {})
    result = job.folder / "result.json"
    result.write_text(result.read_text()[:30])
    done = "not counted" if read_only else "set aside as result.json.damaged-1"
    for _ in range(2):  # at the second look it is not there any more
        known = knowledge(store, [submitted(identity)])(Ticket("train", identity))
        assert (known.state, known.reason) == ("new", f"its result is damaged: {done}")
    store.lay(made("train", "a-label"), {})
    if not read_only:
        known = knowledge(store, [submitted(identity)])(Ticket("train", identity))
        assert known.state == "lost", "of what was submitted since it says nothing"


@pytest.mark.parametrize(
    ("task", "state", "reason"),
    [
        (slurm.Task("RUNNING", "None"), "running", "job 7_1"),
        (slurm.Task("COMPLETING", "None"), "running", "job 7_1"),
        (slurm.Task("PENDING", "Dependency"), "pending", "job 7_1: Dependency"),
        (slurm.Task("REQUEUED", "BeginTime"), "pending", "BeginTime"),
        (slurm.Task("OUT_OF_MEMORY", "None"), "failed", "out of memory"),
        (slurm.Task("TIMEOUT", "TimeLimit"), "failed", "past its time limit"),
        (slurm.Task("NODE_FAIL", "NodeDown"), "failed", "its node failed"),
        (slurm.Task("PENDING", "DependencyNeverSatisfied"), "new", "waits for what failed"),
        (slurm.Task("CANCELLED", "DependencyNeverSatisfied"), "new", "had not begun: job 7_1 canc"),
        (slurm.Task("CANCELLED", "None"), "new", "had not begun: job 7_1 cancelled"),
        (slurm.Task("COMPLETED", "None"), "new", "ended without a result"),
        (slurm.Task("FUTURE_WORD", "None"), "failed", "ended as FUTURE_WORD"),
    ],
)
def test_what_slurm_says_is_told_and_not_guessed(laid, scheduler, task, state, reason):
    store, identity, _ = laid
    scheduler({("7", 1): task}, {})
    known = knowledge(store, [submitted(identity)])(Ticket("train", identity))
    assert known.state == state and reason in known.reason
    assert known.log.endswith("/logs/7_1_0_log.err")


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "TIMEOUT"])
def test_what_was_at_work_when_its_element_ended_has_failed(laid, scheduler, state):
    store, identity, job = laid
    scheduler({("7", 1): slurm.Task(state, "None")}, {})
    write_json(job.folder / "running.json", {**this_process(), "host": "elsewhere"})
    known = knowledge(store, [submitted(identity)])(Ticket("train", identity))
    assert known.state == "failed" and "job 7_1" in known.reason


def test_what_a_person_cancelled_is_new_whether_it_had_begun_or_not(laid, scheduler):
    store, identity, job = laid
    scheduler({("7", 1): slurm.Task("CANCELLED", "None")}, {})
    write_json(job.folder / "running.json", {**this_process(), "host": "elsewhere"})
    known = knowledge(store, [submitted(identity)])(Ticket("train", identity))
    assert (known.state, known.reason) == ("new", "job 7_1 cancelled")


def test_what_cancel_cancelled_is_new_though_slurm_forgot_it(laid, scheduler):
    """Slurm 22.05 keeps no word of an array's element that is cancelled while it waits."""
    store, identity, job = laid
    scheduler({}, {})
    gone = replace(submitted(identity), cancelled=frozenset({1}))
    known = knowledge(store, [gone])(Ticket("train", identity))
    assert (known.state, known.reason) == ("new", "job 7_1 was cancelled")
    other = replace(submitted(identity), cancelled=frozenset({0}))
    assert knowledge(store, [other])(Ticket("train", identity)).state == "lost"
    write_json(job.folder / "running.json", this_process())  # it had begun
    assert knowledge(store, [gone])(Ticket("train", identity)).state == "new"


def test_ranks_that_lose_another_to_a_node_failure_failed_by_the_node(laid, scheduler):
    store, identity, job = laid
    write_failure(job, "RuntimeError: Connection closed by peer", "")
    ticket = Ticket("train", identity)
    scheduler({}, {("7", 1): slurm.Task("NODE_FAIL", "None")})
    assert knowledge(store, [submitted(identity)])(ticket).failure == "node_failure"
    scheduler({}, {("7", 1): slurm.Task("FAILED", "None")})
    assert knowledge(store, [submitted(identity)])(ticket).failure == "infrastructure"


def test_what_waited_in_vain_is_new_also_when_slurm_has_forgotten_it(laid, scheduler):
    store, _identity, _job = laid
    child = made("generate", "child", {"model": made("train", "a-label")})
    folder = store.lay(child, {})
    scheduler({}, {})
    known = knowledge(store, [submitted(child.identity)])
    told = known(Ticket("generate", child.identity))
    assert (told.state, told.reason.split(",")[0]) == ("new", "was waiting for train a-label")
    write_json(folder / "running.json", this_process())  # it had begun, so its input was there
    known = knowledge(store, [submitted(child.identity)])
    assert known(Ticket("generate", child.identity)).state == "lost"


def test_what_a_job_was_tried_with_before_is_not_forgotten(laid):
    store, identity, job = laid
    note_attempt(job.folder, "i/0", "out_of_memory")
    assert knowledge(store, [])(Ticket("train", identity)).retries == {"out_of_memory": 1}


@pytest.fixture
def logs(laid, spaced):
    """A submission whose element was at work when it ended, and its log's folder."""
    store, identity, job = laid
    write_json(job.folder / "running.json", {**this_process(), "began": 5.0})
    folder = spaced / "logs"
    folder.mkdir()
    submission = Submission("i", "slurm", folder, [["x"], [identity]], "7")
    return submission, folder, lambda: knowledge(store, [submission])(Ticket("train", identity))


@pytest.mark.parametrize(
    ("state", "log", "failure"),
    [
        (
            "FAILED",
            "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0.",
            "out_of_memory",
        ),
        (
            "CANCELLED",
            "slurmstepd: error: Step 7.0 exceeded memory limit (2 > 1), being killed",
            "out_of_memory",
        ),
        (
            "CANCELLED",
            "slurmstepd: error: *** STEP 7.0 CANCELLED AT … DUE TO NODE FAILURE ***",
            "node_failure",
        ),
        ("OUT_OF_MEMORY", "", "out_of_memory"),
        (
            "FAILED",
            "ValueError: of the job before\nINFO valley: train a: starts in /x\nhm",
            "unknown",
        ),
    ],
)
def test_what_killed_a_job_is_read_from_slurm_and_its_log(logs, scheduler, state, log, failure):
    _, folder, known = logs
    (folder / "7_1_0_log.err").write_text("starting\n")
    (folder / "7_1_1_log.err").write_text(log + "\n")  # another rank's
    scheduler({("7", 1): slurm.Task(state, "None")}, {})
    said = known()
    assert (said.state, said.failure) == ("failed", failure)
    assert said.attempt == "i/1" and said.remedy


def test_accounting_tells_the_exit_code(logs, scheduler):
    *_, known = logs
    scheduler({}, {("7", 1): slurm.Task("FAILED", "exit code 0:9", exit_code="0:9")})
    assert "resources.train.memory_gib" in known().remedy


def test_retries_are_counted_by_what_they_followed(logs, scheduler, laid):
    *_, known = logs
    folder = laid[2].folder
    scheduler({("7", 1): slurm.Task("TIMEOUT", "TimeLimit")}, {})
    note_attempt(folder, "a/0", "time_out")
    note_attempt(folder, "b/3", "time_out")
    note_attempt(folder, "b/3", "time_out")
    assert known().retries == {"time_out": 2}
    # The present attempt, written down by a launcher that was killed before it submitted anything.
    note_attempt(folder, "i/1", "time_out")
    assert known().retries == {"time_out": 2}


def test_what_failed_in_an_element_that_slurm_requeued_waits_to_be_begun_again(laid, scheduler):
    store, identity, job = laid
    write_failure(job, "RuntimeError: Connection closed by peer", "")
    ticket, submissions = Ticket("train", identity), [submitted(identity)]
    scheduler({("7", 1): slurm.Task("PENDING", "BeginTime")}, {})
    assert knowledge(store, submissions)(ticket).state == "pending"
    # In a pack that goes on with its other jobs it has failed.
    scheduler({("7", 1): slurm.Task("RUNNING", "None")}, {})
    assert knowledge(store, submissions)(ticket).state == "failed"


def test_what_was_stopped_at_its_limit_is_new_once_its_element_has_ended(laid, scheduler):
    store, identity, job = laid
    write_json(job.folder / "stopped.json", {"step": 3, "steps": 9})
    ticket, submissions = Ticket("train", identity), [submitted(identity)]
    for queued, state in (("RUNNING", "running"), ("PENDING", "pending"), ("FAILED", "new")):
        scheduler({("7", 1): slurm.Task(queued, "None")}, {})
        assert knowledge(store, submissions)(ticket).state == state
    scheduler({}, {})
    known = knowledge(store, submissions)(ticket)
    assert known.reason == "stopped at its time limit at step 3 of 9; resumes"


def test_what_a_job_recorded_of_its_time_limit_is_final(laid, scheduler):
    store, identity, job = laid
    write_failure(job, "stopped at its time limit 4 times; raise cluster.retry.time_outs", "")
    scheduler({("7", 1): slurm.Task("COMPLETED", "None")}, {})
    known = knowledge(store, [submitted(identity)])(Ticket("train", identity))
    assert (known.failure, known.is_final) == ("time_out", True)


@pytest.fixture
def pack(laid):
    """An element of three jobs, and a function that tells what is known of each."""
    store, *_ = laid
    jobs = [read_job(store.lay(made("train", f"job{n}"), {})) for n in range(3)]

    def states(*more):
        whole = submitted(None, elements=[["x"], [job.identity for job in jobs]])
        known = knowledge(store, [whole, *more])
        return [known(Ticket("train", job.identity)).state for job in jobs]

    return jobs, states


@pytest.mark.parametrize("state", ["FAILED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL"])
def test_of_a_killed_pack_only_what_was_at_work_has_failed(pack, scheduler, state):
    jobs, states = pack
    scheduler({("7", 1): slurm.Task(state, "None")}, {})
    # Nothing had begun: the first one stands for what kept them from it.
    assert states() == ["failed", "new", "new"]
    write_result(jobs[0], {}, {}, {})
    assert states() == ["done", "new", "new"]
    write_json(jobs[1].folder / "running.json", this_process())
    assert states() == ["done", "failed", "new"]
    # The rest, submitted again, leaves traces of its own; what failed has still failed.
    again = Submission("j", "slurm", Path("/logs"), [[jobs[2].identity]], "9")
    scheduler({("7", 1): slurm.Task(state, ""), ("9", 0): slurm.Task("RUNNING", "")}, {})
    assert states(again) == ["done", "failed", "running"]


def test_the_first_of_a_pack_stays_failed_when_the_rest_runs_elsewhere(pack, scheduler):
    jobs, states = pack
    rest = [job.identity for job in jobs[1:]]
    scheduler({("7", 1): slurm.Task("FAILED", ""), ("9", 0): slurm.Task("RUNNING", "")}, {})
    write_json(jobs[1].folder / "running.json", this_process())
    again = Submission("j", "slurm", Path("/logs"), [rest], "9")
    assert states(again) == ["failed", "running", "pending"]


@pytest.mark.parametrize("state", ["CANCELLED", "FAILED", "COMPLETED"])
def test_a_child_that_waited_in_vain_is_new_and_says_for_what(laid, scheduler, state):
    store, *_ = laid
    parent = made("train", "a-label")
    child = made("generate", "child", {"model": parent})
    store.lay(child, {})
    scheduler({("7", 1): slurm.Task(state, "None")}, {})
    known = knowledge(store, [submitted(child.identity)])(Ticket("generate", child.identity))
    assert (known.state, known.place) == ("new", "")
    assert known.reason == "was waiting for train a-label, which has no result"


def test_what_waits_for_ever_is_new_and_tells_its_place(laid, scheduler):
    store, identity, _ = laid
    scheduler({("7", 1): slurm.Task("PENDING", "DependencyNeverSatisfied")}, {})
    known = knowledge(store, [submitted(identity)])(Ticket("train", identity))
    assert (known.state, known.place) == ("new", "7_1")


def test_what_waits_for_what_waits_for_ever_does_so_too(laid, scheduler):
    """Slurm says DependencyNeverSatisfied of the direct child alone (seen on 22.05)."""
    store, *_ = laid
    jobs = [made("train", "a-label")]
    for kind in ("generate", "grade"):
        jobs.append(made(kind, kind, {"of": jobs[-1]}))
        store.lay(jobs[-1], {})
    elements = [
        Submission(str(n), "slurm", Path("/logs"), [[j.identity]], str(n))
        for n, j in enumerate(jobs)
    ]

    def states(train, generate):
        scheduler(
            {
                ("0", 0): slurm.Task(train, ""),
                ("1", 0): slurm.Task("PENDING", generate),
                ("2", 0): slurm.Task("PENDING", "Dependency"),
                ("9", 0): slurm.Task("PENDING", "DependencyNeverSatisfied"),
            },
            {},
        )
        known = knowledge(store, elements)
        return [known(Ticket(job.kind, job.identity)) for job in reversed(jobs)]

    grade, generate, train = states("FAILED", "DependencyNeverSatisfied")
    assert (train.state, generate.state, grade.state) == ("failed", "new", "new")
    assert (generate.place, grade.place) == ("1_0", "2_0")
    grade, generate, train = states("RUNNING", "Dependency")
    assert (train.state, generate.state, grade.state) == ("running", "pending", "pending")


def test_a_relaunch_takes_up_what_failed_and_what_waited_for_it(laid, scheduler):
    from valley.job import Row, Trail
    from valley.plan import decide

    store, *_ = laid
    train = made("train", "a-label")
    generate = made("generate", "child", {"model": train})
    grade = made("grade", "grandchild", {"samples": generate})
    jobs = [train, generate, grade]
    for job in jobs:
        store.lay(job, {})
    write_failure(read_job(store.folder("train", "", train.identity)), "no", "")
    queue = {(str(n), 0): slurm.Task("CANCELLED", "DependencyNeverSatisfied") for n in (8, 9)}
    scheduler({("7", 0): slurm.Task("FAILED", "NonZeroExitCode"), **queue}, {})
    elements = [
        Submission(str(n), "slurm", Path("/logs"), [[j.identity]], str(n))
        for n, j in zip((7, 8, 9), jobs, strict=True)
    ]
    row = Row(cell=None, profile="p", train=train, generate=generate, grade=grade)
    planned = Trail([row], jobs, {})

    def actions(*retry):
        plan = decide(planned, knowledge(store, elements), frozenset(retry))
        return [decision.action for decision in plan.decisions]

    assert actions() == ["failed", "blocked", "blocked"]
    assert actions("failed") == ["submit", "submit", "submit"]


def test_a_later_launch_on_this_machine_counts_more_than_slurm(laid, scheduler):
    store, identity, _ = laid
    asked = scheduler({("7", 1): slurm.Task("CANCELLED", "None")}, {})
    here = Submission("j", "local", Path("/logs"), [[identity]], "5", process=this_process())
    known = knowledge(store, [submitted(identity), here])(Ticket("train", identity))
    assert known.state == "running" and asked == []


def test_accounting_is_asked_for_what_the_queue_forgot_and_each_once(laid, scheduler):
    store, identity, _ = laid
    asked = scheduler({}, {("7", 1): slurm.Task("FAILED", "exit code 1:0")})
    know = knowledge(store, [submitted(identity)])
    for _ in range(3):
        known = know(Ticket("train", identity))
    assert known.state == "failed" and "exit code 1:0" in known.reason
    assert asked == ["squeue", "sacct"]


def test_what_is_nowhere_is_lost_and_what_was_never_submitted_is_new(laid, scheduler):
    store, identity, _ = laid
    scheduler({}, {})
    assert knowledge(store, [submitted(identity)])(Ticket("train", identity)).state == "lost"
    assert knowledge(store, [])(Ticket("train", identity)).state == "new"


def test_the_last_submission_counts(laid, scheduler):
    store, identity, _ = laid
    scheduler({("7", 1): slurm.Task("FAILED", ""), ("9", 0): slurm.Task("PENDING", "Priority")}, {})
    twice = [submitted(identity), submitted(identity, "9", [[identity]])]
    known = knowledge(store, twice)(Ticket("train", identity))
    assert known.state == "pending" and known.log.endswith("/logs/9_0_0_log.err")


def test_an_array_whose_id_was_never_written_down_is_found_by_its_folder(laid, scheduler):
    store, identity, _ = laid
    scheduler({("12", 1): slurm.Task("PENDING", "Priority", "/logs")}, {})
    known = knowledge(store, [submitted(identity, None)])(Ticket("train", identity))
    assert (known.state, known.place) == ("pending", "12_1")
    scheduler({}, {("12", 1): slurm.Task("FAILED", "exit code 1:0", "/logs")})
    known = knowledge(store, [submitted(identity, None)])(Ticket("train", identity))
    assert known.state == "failed" and "job 12_1" in known.reason
    scheduler({("12", 1): slurm.Task("PENDING", "Priority", "/other")}, {})
    known = knowledge(store, [submitted(identity, None)])(Ticket("train", identity))
    assert known.state == "new"


def test_what_accounting_alone_holds_for_alive_is_lost(laid, scheduler):
    """Its end never reached accounting; nothing may depend on it, since that would start at once."""
    store, identity, _ = laid
    scheduler({}, {("7", 1): slurm.Task("RUNNING", "None")})
    known = knowledge(store, [submitted(identity)])(Ticket("train", identity))
    assert (known.state, known.place) == ("lost", "")


def test_what_found_no_room_is_new_with_the_reason(laid, scheduler):
    store, identity, _ = laid
    asked = scheduler({}, {})
    held = Submission("h", "held", Path("/"), [[identity]], None, reason="QOSMaxSubmit…")
    known = knowledge(store, [submitted(identity), held])(Ticket("train", identity))
    assert (known.state, known.reason) == ("new", "held back: QOSMaxSubmit…")
    assert asked == []


def test_indices_need_not_count_from_zero(laid, scheduler):
    store, identity, _ = laid
    scheduler({("7", 41): slurm.Task("RUNNING", "None")}, {})
    led = Submission("i", "slurm", Path("/logs"), [["x"], [identity]], "7", indices=[3, 41])
    known = knowledge(store, [led])(Ticket("train", identity))
    assert (known.state, known.place) == ("running", "7_41")


def test_a_failure_that_the_job_wrote_down(laid, scheduler):
    store, identity, job = laid
    scheduler({}, {})
    write_failure(job, "ValueError: no", "/a/log")
    known = knowledge(store, [])(Ticket("train", identity[:16]))
    assert (known.state, known.reason, known.log) == ("failed", "ValueError: no", "/a/log")
    assert (known.failure, known.line) == ("code_error", "ValueError: no") and known.remedy


def test_a_record_that_names_no_class_is_given_one(laid):
    store, identity, job = laid
    write_json(job.folder / "failed.json", {"error": "MemoryError", "log": "/a/log"})
    assert knowledge(store, [])(Ticket("train", identity)).failure == "out_of_memory"


@pytest.mark.parametrize(
    ("who", "state"),
    [({}, "running"), ({"start": "1"}, "new"), ({"host": "elsewhere"}, "lost")],
    ids=["alive", "dead", "of another host"],
)
def test_processes_of_this_machine(laid, who, state):
    store, identity, job = laid
    write_json(job.folder / "running.json", {**this_process(), "log": "/a/log", **who})
    assert knowledge(store, [])(Ticket("train", identity)).state == state
