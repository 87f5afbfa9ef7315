"""Findings in words, computed from the numbers of `summary.py`; nothing is said that is not in them.

Scores are printed as fractions, differences in percentage points with their 95 % interval.
"""

from __future__ import annotations

from typing import Any

from size_unit import counted, size, unit

from valley.statistics.curve import NEGLIGIBLE

Document = dict[str, Any]
"""What `summary.py` composes, or a part of it, as JSON values."""
ONE_SEED = "among these checkpoints; seed noise unmeasured"


def points(value: float, signed: bool = False) -> str:
    """A difference of scores in percentage points, without the unit."""
    text = f"{100 * value:{'+' if signed else ''}.1f}"
    return ("0.0" if float(text) == 0 else text).replace("-", "−")


def interval(estimate: Document, signed: bool = False) -> str:
    """`12.3 points (8.1 to 16.4)`."""
    low, high = (points(bound, signed) for bound in estimate["interval"])
    return f"{points(estimate['value'], signed)} points ({low} to {high})"


def p_value(p: float) -> str:
    """A corrected p-value to two digits; below 0.001 the draws don't resolve it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def recovery(document: Document) -> str:
    """Where the baseline is crossed again: `2,300 (2,100 to 2,600)`, or `> 4,096`."""
    found = document["recovery_size"]
    beyond = f"> {size(found['largest_size'])}"
    low, high = (beyond if bound is None else size(bound) for bound in found["interval"])
    value = beyond if found["value"] is None else size(found["value"])
    return value if low == high == value else f"{value} ({low} to {high})"


def label(valley: Document) -> str:
    """The verdict's word, with its condition where a single seed was all there was."""
    word = valley["verdict"]
    unscored = valley.get("lacking") in ("baseline", "sizes")
    return word if valley["seeds_measured"] or unscored else f"{word} {ONE_SEED}"


def lowest(series: Document) -> str:
    """The lowest size, and how deep it lies where it is below the baseline."""
    text = f"lowest at {counted(series['trough']['size'])}"
    depth = series["depth"]["value"]
    return f"{text}, {points(depth)} points deep" if depth > 0 else text


def verdict(series: Document) -> str:
    """The verdict on a curve with the numbers it rests on."""
    valley = series["valley"]
    lead = f"{label(valley)} ({series['profile']}, stage {series['stage']})"
    if valley["verdict"] == "VALLEY":
        return f"{lead}: {_valley(series)}."
    if valley["verdict"] == "NO VALLEY":
        return f"{lead}: {_no_valley(series)}."
    return f"{lead}: {_lacking(series)}."


def _no_valley(series: Document) -> str:
    limit, lead = points(NEGLIGIBLE), ""
    if series["valley"]["fell"]:
        fall, largest = series["valley"]["fall"], series["curve"][-1]["size"]
        lead = (
            f"the score falls, by {points(fall['value'])} points at {counted(fall['size'])} "
            f"({p_value(fall['p'])}, corrected), but up to {counted(largest)} "
        )
    return (
        f"{lead}a size {limit} points or more below the baseline with a larger size as far above it is "
        "excluded (the fall or the rise, each bound 95 % over all sizes)"
    )


def _valley(series: Document) -> str:
    valley, trough, rise = series["valley"], series["trough"], series["valley"]["rise"]
    # The curve may be lowest behind the valley, at its end.
    again = (
        "again"
        if trough["size"] < rise["size"]
        else (f"before, from {size(rise['other'])} to {counted(rise['size'])}")
    )
    text = (
        f"the score falls from {series['baseline']['value']:.3f} to {trough['value']:.3f} at "
        f"{counted(trough['size'])}, by {interval(series['depth'])}, and rises {again} "
        f"(fall at {size(valley['fall']['size'])} {p_value(valley['fall']['p'])}, rise from "
        f"{size(rise['other'])} to {size(rise['size'])} {p_value(rise['p'])}, corrected)"
    )
    if valley["recovered_above_baseline"]:
        sizes = ", ".join(map(size, valley["recovered_sizes"]))
        text += f"; recovered above the baseline at {sizes} {unit()}"
    else:
        text += "; not shown to be above the baseline again"
    crossing = series["recovery_size"]
    if crossing is not None and crossing["value"] is not None:
        text += f"; the curve crosses the baseline at {recovery(series)} {unit()}"
    if (sd := valley.get("overturning_seed_sd")) is not None:
        text += f"; a seed SD of {points(sd)} points would overturn it"
    return text


def _lacking(series: Document) -> str:
    valley = series["valley"]
    match valley["lacking"]:
        case "baseline":
            return "the baseline has no score yet"
        case "sizes":
            return "no trained size has a score yet"
        case "second size":
            return "one size alone cannot show a fall and a rise"
        case "rise":
            fall, rise = valley["fall"], valley["rise"]
            text = (
                f"{counted(fall['size'])} score {points(fall['value'])} points below the baseline "
                f"({p_value(fall['p'])}, corrected), but no larger size is shown above a size that fell"
            )
            if rise["value"] <= 0:
                return text
            return (
                f"{text}; the clearest rise is {points(rise['value'])} points from "
                f"{size(rise['other'])} to {counted(rise['size'])} ({p_value(rise['p'])})"
            )
    fall = valley["fall"]
    text = f"no size is shown below the baseline, nor is a valley of {points(NEGLIGIBLE)} points excluded"
    if fall["value"] <= 0:
        return f"{text}; no size scores below it"
    return (
        f"{text}; the clearest fall is {points(fall['value'])} points at {counted(fall['size'])} "
        f"({p_value(fall['p'])}, corrected)"
    )


def seed(entry: Document) -> str:
    """One seed's own verdict."""
    sizes = entry["sizes"]
    text = f"seed {entry['seed']} ({size(sizes[0])} to {counted(sizes[-1])}): "
    text += entry["valley"]["verdict"]
    if entry["trough"] is not None:
        text += f", {lowest(entry)}"
        if entry["valley"]["verdict"] == "VALLEY":  # of flat curves the interval covers too seldom
            low, high = (points(bound) for bound in entry["depth"]["interval"])
            text += f" ({low} to {high})"
    if entry["valley"]["recovered_above_baseline"]:
        text += ", recovered above the baseline"
    return text


def twin(entry: Document) -> str:
    """How much of the fall at a size is too few steps."""
    gain, rest, fall = (
        entry[name] for name in ("difference_to_usual", "difference_to_baseline", "fall")
    )
    lead = (
        f"Too few steps ({entry['profile']}, stage {entry['stage']}): at {counted(entry['size'])}, "
        f"{entry['steps']:,} steps instead of {entry['usual_steps']:,} change the score by "
        f"{interval(gain, True)}"
    )
    if fall["interval"][0] <= 0:
        return f"{lead}; no fall is shown there that steps could explain."
    if gain["interval"][0] <= 0:
        return f"{lead}: no part of the fall of {points(fall['value'])} points is shown to be that."
    lead += (
        f", {100 * entry['fraction_of_fall']:.0f} % of the fall of {points(fall['value'])} points"
    )
    if rest["interval"][1] < 0:
        return f"{lead}; {_negated(rest)} below the baseline remain."
    return f"{lead}; against the baseline {interval(rest, True)}, so no fall is shown to remain."


def _negated(estimate: Document) -> str:
    low, high = estimate["interval"]
    return interval({"value": -estimate["value"], "interval": [-high, -low]})


def profiles(entry: Document) -> str:
    """How much of the fall depends on how the student is asked."""
    first, second = entry["profiles"]
    part = entry["difference_of_falls"]
    falls = entry["falls"]
    lead = (
        f"Changed format: at {counted(entry['size'])} the score falls by {interval(falls[first])} "
        f"as {first} and by {interval(falls[second])} as {second} (95 %, corrected for {entry['sizes']} sizes)"
    )
    low, high = part["interval"]
    if low <= 0 <= high:
        return (
            f"{lead}; the difference is {interval(part, True)}, so no part of the fall is shown to be a "
            "matter of how the student is asked."
        )
    if high < 0:
        return f"{lead}: asked as {second}, the student loses more, by {_negated(part)}."
    if falls[second]["interval"][0] <= 0:
        return f"{lead}: asked as {second}, no fall is shown."
    return (
        f"{lead}; {interval(part)} of the fall are a matter of how the student is asked, the rest is "
        "lost however it is asked."
    )


def contrast(entry: Document, finding: str) -> str:
    """One paired difference between two kinds of traces, and what it shows."""
    better, worse = entry["pair"]
    condition = "" if entry["seeds_measured"] else f", {ONE_SEED}"
    return (
        f"Stage {entry['stage']}, {counted(entry['size'])}, {entry['profile']}: {better} − {worse} "
        f"= {interval(entry['difference'], True)}: {finding}{condition}."
    )


def all_of(document: Document) -> list[str]:
    """Everything to be printed under the figures; last the verdict, and then the other profiles'."""
    kept = [document["profile"]]
    lines = [c["sentence"] for c in document["contrasts"] if c["profile"] in kept]
    lines += [c["sentence"] for c in document["interactions"] if c["profile"] in kept]
    lines += [c["sentence"] for c in document["profile_comparisons"]]
    lines += [t["sentence"] for t in document["twins"] if t["profile"] in kept]
    lines += [c["sentence"] for c in document["correlations"]]
    lines += [document[name]["sentence"] for name in ("shape", "truncation") if document[name]]
    lines += [found["sentence"] for found in (document["continuous"] or {}).values()]
    lines += [found["sentence"] for found in document["pass_at_k"].values()]
    lines += document["continuous_not_shown"]
    if document["seeds"]:
        alone = "; ".join(s["sentence"] for s in document["seeds"])
        lines.append(f"Each seed alone, {ONE_SEED}, not corrected over seeds: {alone}.")
    if note := single_seed_note(document):
        lines.append(note)
    lines += [f"Not made alike: {mixed}." for mixed in document["provenance"]["mixed"]]
    if errors := document["provenance"]["infrastructure_errors"]:
        lines.append(
            f"{errors:,} answers could not be graded (infrastructure errors); they count as not passed."
        )
    if document["missing"]:
        lines.append(f"{len(document['missing'])} of {document['planned']} scores are missing.")
    if document["valley"].get("next"):
        lines.append(document["valley"]["next"])
    others = [other["valley"]["sentence"] for other in document["profiles"].values()]
    return [*lines, document["valley"]["sentence"], *others]


def single_seed_note(document: Document) -> str:
    """Which sizes borrow their seed noise from the others; empty where none does."""
    if document["seed_noise"] is None:
        return ""
    single = [size(p["size"]) for p in document["curve"] if len(p["seeds"]) == 1]
    if not single:
        return ""
    return (
        f"One seed at {', '.join(single)} {unit()}; seed noise there is taken from the cells with several "
        f"(SD {points(document['seed_noise']['sd'])} points)."
    )
