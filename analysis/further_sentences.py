"""What stands beside the verdict, in words: `checks.py` and the pairs' verdicts, as `sentences.py` has the rest."""

from __future__ import annotations

from sentences import Document, interval, p_value, points
from size_unit import counted, size

from valley.statistics.effects import ALPHA


def truncation(found: Document) -> str:
    """Whether the valley could be answers that were cut off."""
    widest = max(high - low for low, high in found["band"].values())
    band = f"counting truncated answers all wrong or all right moves a score by up to {points(widest)} points"
    match found["survival"]:
        case "SURVIVES":
            return f"Truncation: the valley SURVIVES in the worst case ({band})."
        case "SURVIVES IF ALIKE":
            return (
                f"Truncation: the valley SURVIVES IF ALIKE, with truncated answers all wrong and all right; not "
                f"in the worst case of right ones in the trough alone ({band}). Next: a higher max_tokens."
            )
    ends = f"all wrong {found['all_wrong']}, all right {found['all_right']}"
    return f"Truncation: no valley is shown at both ends ({ends}; {band})."


def shape(found: Document) -> str:
    """How the score rises after its trough."""
    sizes = len(found["sizes"])
    if not found["curvature"]:
        return (
            f"Shape after the trough: NOT IDENTIFIED; {sizes} sizes are left without the trough and the next one, "
            "and 5 are needed."
        )
    ps = ", ".join(f"{scale} p = {c['p']:.2g}" for scale, c in found["curvature"].items())
    return (
        f"Shape after the trough: {found['verdict']} (curvature above zero on {sizes} sizes: {ps})."
    )


def next_step(series: Document, twinned: bool) -> str:
    """What to do about a verdict, and how many problems, answers and seeds would decide it."""
    verdict, trough, recovery = (
        series["valley"]["verdict"],
        series["trough"],
        series["recovery_size"],
    )
    if verdict == "NO VALLEY":
        return (
            "Next: nothing more on these sizes; a valley between or below them is not excluded, so add sizes "
            "there if one is expected."
        )
    if verdict == "VALLEY":
        if not series["valley"]["seeds_measured"]:
            return (
                "Next: two more training seeds at least, at the trough and at the sizes beside it, since what a "
                "seed changes is not in this verdict."
            )
        if recovery is not None and recovery["value"] is None:
            largest = size(recovery["largest_size"])
            return f"Next: sizes above {largest}, where the curve may cross its baseline."
        if twinned:
            return "Next: sizes between the trough and its neighbours, to place it."
        return (
            f"Next: matched-step twins at {counted(trough['size'])} (train.steps), to tell the valley from "
            "too few steps."
        )
    found = series["deciding"]
    if found is not None and (score := series["baseline"]["value"]) < found["depth"]:
        return (
            f"Next: problems of which the student can solve some: below a baseline of {score:.3f} no valley "
            f"of {points(found['depth'])} points can lie."
        )
    return f"Next: {_deciding(found)}"


def _deciding(found: Document | None) -> str:
    if found is None:
        return "run the baseline and two sizes or more, on several problems."
    depth = points(found["depth"])
    now = _design(found["now"])
    if found["enough"]:
        return (
            f"{now} are enough for a valley of {depth} points; what is there is near that, or between none "
            "and that; more of each tells a smaller one."
        )
    designs = (found["same_problems"], found["more_problems"])
    ways = list(dict.fromkeys(_design(one) for one in designs if one is not None))
    if not ways:
        return f"no bearable number of problems or answers decides about a valley of {depth} points here."
    assumed = f", assuming {' and '.join(found['assumed'])}" if found["assumed"] else ""
    return (
        f"a valley of {depth} points would be decided in 4 of 5 repetitions by {', or by '.join(ways)}{assumed} "
        f"(now {now})."
    )


def _design(found: Document) -> str:
    """`279 problems x 16 samples x 3 seeds`."""
    return " x ".join(
        f"{found[noun]:,} {noun if found[noun] != 1 else noun[:-1]}"
        for noun in ("problems", "samples", "seeds")
    )


def finding(entry: Document) -> str:
    """What a pair of arms shows."""
    better, worse = entry["pair"]
    match entry["verdict"]:
        case "DIFFERENT":
            higher = better if entry["difference"]["value"] > 0 else worse
            return f"DIFFERENT, {higher} traces score higher"
        case "EQUIVALENT":
            return f"EQUIVALENT, no difference larger than {points(entry['delta'])} points"
    excluded = f"a difference above {points(entry['smallest_delta'])} points is excluded"
    against = "" if entry["delta"] is None else f", one above {points(entry['delta'])} is not"
    return f"INCONCLUSIVE, {excluded}{against}"


def interaction(entry: Document) -> str:
    """How much one factor's effect depends on another."""
    p = entry["p_corrected"]
    shown = "the effect depends on it" if p <= ALPHA else "INCONCLUSIVE"
    return (
        f"Interaction of {entry['of']} with {entry['by']} ({entry['profile']}, {entry['at']}): "
        f"{interval(entry['difference_of_differences'], True)}: {shown} ({p_value(p)}, corrected)."
    )


def correlation(entry: Document) -> str:
    """A rate against size and against score, over arms."""
    name = entry["rate"].replace("_", " ")
    parts = []
    for against in ("size", "score"):
        found = entry[against]
        if found is None:
            parts.append(f"with {against} not to be told")
            continue
        parts.append(f"with {against} {correlated(found)}")
    return f"Rank correlation of {name} over {entry['arms']} arms: {', '.join(parts)}."


def correlated(found: Document, sign: str = "") -> str:
    """A correlation with its interval, whose ends are told apart.

    Args:
        sign: `+` where positive ones have it.
    """
    low, high = found["interval"]
    digits = 2
    while f"{low:.{digits}f}" == f"{high:.{digits}f}" and digits < 6:
        digits += 1
    value, low, high = (f"{one:{sign}.{digits}f}" for one in (found["value"], low, high))
    return f"{value} ({low} to {high})".replace("-", "−")


CONTINUOUS = {
    "tests_passed_before_first_failure": "Share of tests passed before the first failure",
    "nll_per_token": "Negative log-likelihood of held-out traces, nats per token",
}


def continuous_not_shown(name: str, why: str) -> str:
    """Why a metric that some cells have has no curve."""
    return f"{CONTINUOUS.get(name, name.capitalize())}: not shown, since {why}."


def continuous(name: str, found: Document) -> str:
    """A continuous metric, or pass@k, along the size curve, and whether its rise is sharper than log-linear."""
    least = min(found["curve"], key=lambda point: point["value"])
    most = max(found["curve"], key=lambda point: point["value"])
    ends = sorted((least, most), key=lambda point: int(point["size"]))
    at = " and ".join(
        f"{p['value']:.3f} ({p['interval'][0]:.3f} to {p['interval'][1]:.3f}) at {counted(p['size'])}"
        for p in ends
    )
    lead = CONTINUOUS.get(name, name.capitalize())
    text = f"{lead}: baseline {found['baseline']['value']:.3f}; its extremes are {at}"
    if found["shape"] is None:
        return f"{text}."
    sizes = len(found["shape"]["sizes"])
    return f"{text}; its shape after the trough of pass@1: {found['shape']['verdict']} ({sizes} sizes)."
