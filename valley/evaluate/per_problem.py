"""The per-problem counts of a grading as a result file holds them: digits, one or more per problem.

    "per_problem": {"samples": 4, "passed": "0413…", "completed": "4444…", "opened": …, "think_closed": …}

Each text has the count of the first problem first, as one hexadecimal digit where a problem has at most 15
samples, two up to 255, and four beyond; `tests_passed` has four for each, of the mean share of tests passed
before the first failure, in parts of 60,000. As lists of numbers the counts of 880 problems took a result from
6 to 39 KB, and twelve times as long to read. Results from before have the lists: `counts` with a pair
[samples, passed] per problem, and a list for each of the others. Both are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

NAMES = ("passed", "completed", "opened", "think_closed")
LISTS = ("counts", *NAMES[1:], "tests_passed")
"""The keys that results from before have instead."""
DIGITS = b"0123456789abcdef"
PARTS = 60_000
"""Of a share: what is a number of tests that divides this is kept exactly."""
VALUES = bytes(DIGITS.find(byte) if byte in DIGITS else 255 for byte in range(256))


def pack(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """A score with its lists replaced by digits. Every problem has the same number of samples."""
    samples = outcome["counts"][0][0]
    width = _width(samples)
    lists = {"passed": [passed for _, passed in outcome["counts"]]}
    lists |= {name: outcome[name] for name in NAMES[1:]}
    digits = {
        name: "".join(f"{number:0{width}x}" for number in numbers)
        for name, numbers in lists.items()
    }
    if "tests_passed" in outcome:
        parts = (round(total / samples * PARTS) for total in outcome["tests_passed"])
        digits["tests_passed"] = "".join(f"{number:04x}" for number in parts)
    rest = {name: value for name, value in outcome.items() if name not in LISTS}
    return rest | {"per_problem": {"samples": samples, **digits}}


def arrays(outcome: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """`samples` and each of `NAMES` as an integer array of shape [problems], of old and new results.

    Raises:
        ValueError, KeyError, TypeError: they are not as they should be.
    """
    import numpy as np

    if "per_problem" in outcome:
        found = outcome["per_problem"]
        numbers = {name: _numbers(found[name], found["samples"]) for name in NAMES}
        samples = np.full(len(numbers["passed"]), found["samples"], dtype=np.int64)
    else:
        pairs = np.asarray(outcome["counts"], dtype=np.int64)
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError("counts are not one [samples, passed] per problem")
        samples, passed = pairs.T
        numbers = {name: np.asarray(outcome[name], dtype=np.int64) for name in NAMES[1:]}
        numbers["passed"] = passed
    if any(array.shape != samples.shape for array in numbers.values()):
        raise ValueError("the per-problem arrays differ in length")
    if not len(samples) or samples.min() < 1:
        raise ValueError("no problem, or a problem without samples")
    if any(((array < 0) | (array > samples)).any() for array in numbers.values()):
        raise ValueError("a count outside 0..samples")
    return {"samples": samples, **numbers}


def shares_passed(outcome: Mapping[str, Any]) -> np.ndarray | None:
    """Per problem the sum over samples of the share of tests passed before the first failure.

    None of results from before this was kept.

    Raises:
        ValueError, TypeError: they are not as they should be.
    """
    import numpy as np

    samples = arrays(outcome)["samples"]
    if (digits := outcome.get("per_problem", {}).get("tests_passed")) is not None:
        found = np.frombuffer(bytes.fromhex(digits), ">u2") / PARTS * samples
    elif (sums := outcome.get("tests_passed")) is not None:
        found = np.asarray(sums, dtype=np.float64)
    else:
        return None
    if found.shape != samples.shape or not ((found >= 0) & (found <= samples + 1e-5)).all():
        raise ValueError("tests_passed are not one sum of shares per problem")
    return found


def check(outcome: Mapping[str, Any]) -> None:
    """Whether `arrays` can be had, at a fraction of its cost where it is digits.

    Raises:
        ValueError, KeyError, TypeError: as `arrays`.
    """
    found = outcome.get("per_problem")
    if found is None or not 1 <= found["samples"] <= 15:
        shares_passed(outcome)
        return
    shares = found.get("tests_passed")
    if shares is not None and len(shares) != 4 * len(found["passed"]):
        raise ValueError("tests_passed are not one share per problem")
    texts = [found[name] for name in NAMES]
    if not texts[0] or len(set(map(len, texts))) > 1:
        raise ValueError("the per-problem arrays differ in length, or there is no problem")
    if "".join(texts).encode().translate(None, DIGITS[: found["samples"] + 1]):
        raise ValueError("a count outside 0..samples")


def total_samples(outcome: Mapping[str, Any]) -> int:
    """How many samples were graded, of old and new results."""
    if "per_problem" not in outcome:
        return sum(samples for samples, _ in outcome["counts"])
    found = outcome["per_problem"]
    return int(found["samples"] * len(found["passed"]) // _width(found["samples"]))


def _width(samples: int) -> int:
    """Digits per problem."""
    if not isinstance(samples, int) or not 1 <= samples < 1 << 16:
        raise ValueError(f"samples: {samples!r} found, expected 1 to {(1 << 16) - 1}")
    return 1 if samples < 16 else 2 if samples < 256 else 4


def _numbers(text: str, samples: int) -> np.ndarray:
    import numpy as np

    width = _width(samples)
    if width == 1:
        # What is no digit becomes 255, and is refused as a count outside 0..samples.
        content, kind = text.encode().translate(VALUES), np.dtype("u1")
    else:
        content, kind = bytes.fromhex(text), np.dtype(">u1" if width == 2 else ">u2")
    return np.frombuffer(content, kind).astype(np.int64)
