"""The preview: what a plan costs, and what its grid can detect, before anything is submitted. Pure.

Costs are estimates from the grid's `preview` assumptions, for order and time left; they are labelled so.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from valley.job import Job
from valley.plan import Plan
from valley.sweep import Sweep
from valley.train.throughput import training_flops


def cost_s(job: Job, sweep: Sweep) -> float:
    """Estimated seconds of a job on its resources, without the start of its process."""
    assumed = sweep.preview
    match job.kind:
        case "train":
            resources = sweep.resources.train
            lesson = job.config["select"] == "lessons"
            per_example = assumed.tokens_per_lesson if lesson else assumed.tokens_per_trace
            tokens = job.steps * int(job.config["train"]["batch_size"]) * per_example
            flops = training_flops(job.parameters or 1e9, tokens)
            ranks = resources.nodes * resources.tasks_per_node
            return flops / (assumed.train_tflops * 1e12 * ranks)
        case "generate":
            return job.examples * assumed.tokens_per_answer / assumed.generate_tokens_per_s
        case "grade":
            return job.examples / assumed.grade_samples_per_s
        case _:
            return assumed.startup_s


@dataclass(frozen=True)
class KindCost:
    """What the jobs of one kind that are to be submitted ask for."""

    jobs: int
    hours: float
    gpu_hours: float


def costs(plan: Plan, sweep: Sweep) -> dict[str, KindCost]:
    """Estimated cost by kind of what a plan would submit. Hours are of all elements in sequence."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for decision in plan.with_action("submit"):
        seconds[decision.job.kind].append(cost_s(decision.job, sweep))
    result = {}
    for kind, values in seconds.items():
        resources = getattr(sweep.resources, kind)
        hours = (sum(values) + sweep.preview.startup_s * len(values) / resources.pack) / 3600
        result[kind] = KindCost(
            len(values), hours, hours * resources.nodes * resources.gpus_per_node
        )
    return result


def detectable(plan: Plan, sweep: Sweep) -> float | None:
    """The smallest difference in pass@1 between two cells that the grid can expect to detect.

    At one seed and a score of 0.25, one-sided 5 %, with 80 % power; None where there is nothing to compare.
    """
    # Here, since it takes numpy, and a launch does without.
    from valley.statistics import minimum_detectable_difference

    if not plan.rows:
        return None
    row = plan.rows[0]
    profile = row.cell.recipe.generate.profiles[row.profile]
    return minimum_detectable_difference(
        problems=row.cell.recipe.data.evaluation_size, samples=profile.samples, seeds=1, score=0.25
    )
