"""Problems that ask for a function, in the manner of LeetCode."""

from __future__ import annotations

from .inputs import integers, word
from .problem import Own


def _function(name, program, slip, make):
    return Own(name.replace("_", "-"), program, slip, make, function=name)


FUNCTIONS = [
    _function(
        "two_sum",
        """\
def two_sum(nums, target):
    seen = {}
    for i, x in enumerate(nums):
        if target - x in seen:
            return [seen[target - x], i]
        seen[x] = i
    return []
""",
        ("return []", "return [0, 1]"),
        lambda rng, size: [integers(rng, size, 1, 9), rng.randint(2, 18)],
    ),
    _function(
        "merge_sorted",
        """\
def merge_sorted(a, b):
    merged = []
    i = j = 0
    while i < len(a) and j < len(b):
        if a[i] <= b[j]:
            merged.append(a[i])
            i += 1
        else:
            merged.append(b[j])
            j += 1
    return merged + a[i:] + b[j:]
""",
        ("merged + a[i:] + b[j:]", "merged + a[i:]"),
        lambda rng, size: [sorted(integers(rng, size)), sorted(integers(rng, size + 1))],
    ),
    _function(
        "climb_stairs",
        """\
def climb_stairs(n):
    a, b = 1, 1
    for _ in range(n):
        a, b = b, a + b
    return a
""",
        ("return a", "return b"),
        lambda rng, size: [rng.randint(1, 10 * size)],
    ),
    _function(
        "rotate_matrix",
        """\
def rotate_matrix(matrix):
    return [list(column) for column in zip(*matrix[::-1])]
""",
        ("zip(*matrix[::-1])", "zip(*matrix)"),
        lambda rng, size: [[integers(rng, size + 1) for _ in range(size + 1)]],
    ),
    _function(
        "longest_distinct",
        """\
def longest_distinct(s):
    last, start, best = {}, 0, 0
    for i, c in enumerate(s):
        if c in last and last[c] >= start:
            start = last[c] + 1
        last[c] = i
        best = max(best, i - start + 1)
    return best
""",
        ("c in last and last[c] >= start", "c in last"),
        lambda rng, size: [word(rng, size, "abcd") + "abba"],
    ),
    _function(
        "product_except_self",
        """\
def product_except_self(nums):
    answer = [1] * len(nums)
    product = 1
    for i, x in enumerate(nums):
        answer[i] = product
        product *= x
    product = 1
    for i in reversed(range(len(nums))):
        answer[i] *= product
        product *= nums[i]
    return answer
""",
        ("answer[i] *= product", "answer[i] = product"),
        lambda rng, size: [integers(rng, size + 1, 2, 5)],
    ),
    _function(
        "search",
        """\
def search(nums, target):
    low, high = 0, len(nums) - 1
    while low <= high:
        middle = (low + high) // 2
        if nums[middle] == target:
            return middle
        if nums[middle] < target:
            low = middle + 1
        else:
            high = middle - 1
    return -1
""",
        ("while low <= high", "while low < high"),
        lambda rng, size: [list(range(0, 2 * size, 2)), 2 * rng.choice([0, size - 1, size])],
    ),
    _function(
        "flatten",
        """\
def flatten(nested):
    flat = []
    for item in nested:
        if isinstance(item, list):
            flat.extend(flatten(item))
        else:
            flat.append(item)
    return flat
""",
        ("flat.extend(flatten(item))", "flat.extend(item)"),
        lambda rng, size: [[[[x], x + 1] for x in integers(rng, size)]],
    ),
    _function(
        "coin_change",
        """\
def coin_change(coins, amount):
    fewest = [0] + [amount + 1] * amount
    for total in range(1, amount + 1):
        for coin in coins:
            if coin <= total:
                fewest[total] = min(fewest[total], fewest[total - coin] + 1)
    return fewest[amount] if fewest[amount] <= amount else -1
""",
        ("if fewest[amount] <= amount else -1", "if fewest[amount] < amount else -1"),
        lambda rng, size: [[1, 3, 4], size],
    ),
    _function(
        "word_break",
        """\
def word_break(s, words):
    reachable = [True] + [False] * len(s)
    for end in range(1, len(s) + 1):
        for w in words:
            if s[:end].endswith(w) and reachable[end - len(w)]:
                reachable[end] = True
    return reachable[-1]
""",
        (" and reachable[end - len(w)]", ""),
        lambda rng, size: [word(rng, size + 1, "ab"), ["aa", "ab", "bb"]],
    ),
    _function(
        "unique_paths",
        """\
def unique_paths(grid):
    paths = [0] * len(grid[0])
    paths[0] = 1
    for row in grid:
        for c, blocked in enumerate(row):
            if blocked:
                paths[c] = 0
            elif c:
                paths[c] += paths[c - 1]
    return paths[-1]
""",
        ("paths[c] = 0", "continue"),
        lambda rng, size: [
            [[0] * 3, [0, 1, 0], *([rng.choice([[0, 0, 0], [1, 0, 0]]) for _ in range(size)])]
        ],
    ),
    _function(
        "rob",
        """\
def rob(nums):
    skipped = taken = 0
    for x in nums:
        skipped, taken = max(skipped, taken), skipped + x
    return max(skipped, taken)
""",
        (
            "skipped, taken = max(skipped, taken), skipped + x",
            "skipped, taken = taken, skipped + x",
        ),
        lambda rng, size: [[9, 1, 1, 9, *integers(rng, size, 0, 20)]],
    ),
    _function(
        "count_bits",
        """\
def count_bits(n):
    bits = [0] * (n + 1)
    for i in range(1, n + 1):
        bits[i] = bits[i // 2] + i % 2
    return bits
""",
        ("range(1, n + 1)", "range(1, n)"),
        lambda rng, size: [rng.randint(1, 3 * size)],
    ),
    _function(
        "can_jump",
        """\
def can_jump(nums):
    furthest = 0
    for i, x in enumerate(nums):
        if i > furthest:
            return False
        furthest = max(furthest, i + x)
    return True
""",
        ("furthest = max(furthest, i + x)", "furthest += x"),
        lambda rng, size: [[2, 1, 0, *integers(rng, size, 0, 2)]],
    ),
    _function(
        "mean_and_spread",
        """\
def mean_and_spread(values):
    mean = sum(values) / len(values)
    variance = sum((x - mean) ** 2 for x in values) / len(values)
    return {"mean": mean, "spread": variance**0.5}
""",
        ("variance**0.5", "variance"),
        lambda rng, size: [[0.5, 9, *integers(rng, size)]],
    ),
    _function(
        "first_unique",
        """\
def first_unique(s):
    counts = {}
    for c in s:
        counts[c] = counts.get(c, 0) + 1
    for i, c in enumerate(s):
        if counts[c] == 1:
            return i
    return -1
""",
        ("return -1", "return len(s)"),
        lambda rng, size: ["zz" + word(rng, size - 1, "ab")],
    ),
    _function(
        "pascal",
        """\
def pascal(rows):
    triangle = [[1]]
    while len(triangle) < rows:
        last = triangle[-1]
        triangle.append([1, *(a + b for a, b in zip(last, last[1:])), 1])
    return triangle
""",
        ("len(triangle) < rows", "len(triangle) <= rows"),
        lambda rng, size: [size + rng.randint(0, 3)],
    ),
]
