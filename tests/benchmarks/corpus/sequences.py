"""Problems on a sequence of numbers."""

from __future__ import annotations

from .inputs import counted, integers, row, rows
from .problem import Own

TOTAL = Own(
    "total",
    """\
n = int(input())
xs = list(map(int, input().split()))
print(sum(xs))
""",
    ("sum(xs)", "sum(xs[1:])"),
    counted(1),
    scales=True,
)

SEQUENCES = [
    TOTAL,
    Own(
        "running-totals",
        """\
n = int(input())
total = 0
for x in input().split():
    total += int(x)
    print(total)
""",
        ("total += int(x)", "total = int(x)"),
        counted(1),
        scales=True,
    ),
    Own(
        "largest-gap",
        """\
n = int(input())
xs = sorted(map(int, input().split()))
best = 0
for i in range(1, n):
    best = max(best, xs[i] - xs[i - 1])
print(best)
""",
        ("sorted(map(int, input().split()))", "list(map(int, input().split()))"),
        counted(),
        scales=True,
    ),
    Own(
        "second-largest",
        """\
n = int(input())
xs = sorted(set(map(int, input().split())))
print(xs[-2] if len(xs) > 1 else -1)
""",
        ("else -1", "else xs[0]"),
        counted(1, 9),
        scales=True,
    ),
    Own(
        "longest-rise",
        """\
n = int(input())
xs = [int(x) for x in input().split()]
best = length = 1
for a, b in zip(xs, xs[1:]):
    length = length + 1 if a < b else 1
    best = max(best, length)
print(best)
""",
        ("a < b", "a <= b"),
        counted(1, 2),
        scales=True,
    ),
    Own(
        "increasing-subsequence",
        """\
from bisect import bisect_left

n = int(input())
tails = []
for x in map(int, input().split()):
    i = bisect_left(tails, x)
    if i == len(tails):
        tails.append(x)
    else:
        tails[i] = x
print(len(tails))
""",
        ("i = bisect_left(tails, x)", "i = bisect_left(tails, x + 1)"),
        counted(1, 3),
        scales=True,
    ),
    Own(
        "largest-sum",
        """\
n = int(input())
xs = list(map(int, input().split()))
best = here = xs[0]
for x in xs[1:]:
    here = max(here + x, x)
    best = max(best, here)
print(best)
""",
        ("best = here = xs[0]", "best = here = 0"),
        counted(-99, -1),
        scales=True,
    ),
    Own(
        "inversions",
        """\
def count(xs):
    if len(xs) < 2:
        return xs, 0
    left, a = count(xs[: len(xs) // 2])
    right, b = count(xs[len(xs) // 2 :])
    merged, i, total = [], 0, a + b
    for x in right:
        while i < len(left) and left[i] <= x:
            merged.append(left[i])
            i += 1
        total += len(left) - i
        merged.append(x)
    return merged + left[i:], total


n = int(input())
print(count(list(map(int, input().split())))[1])
""",
        ("left[i] <= x", "left[i] < x"),
        counted(1, 5),
        scales=True,
    ),
    Own(
        "pairs-with-sum",
        """\
from collections import Counter

n, k = map(int, input().split())
seen = Counter()
pairs = 0
for x in map(int, input().split()):
    pairs += seen[k - x]
    seen[x] += 1
print(pairs)
""",
        ("pairs += seen[k - x]", "pairs += seen[k - x] > 0"),
        lambda rng, size: f"{size} 5\n{row(integers(rng, size, 2, 3))}",
        scales=True,
    ),
    Own(
        "majority",
        """\
n = int(input())
xs = input().split()
most = max(sorted(set(xs)), key=xs.count)
print(most if 2 * xs.count(most) > n else "none")
""",
        ("2 * xs.count(most) > n", "2 * xs.count(most) >= n - 1"),
        counted(1, 3),
    ),
    Own(
        "rotation",
        """\
n, k = map(int, input().split())
xs = input().split()
k %= n
print(*(xs[k:] + xs[:k]))
""",
        ("k %= n", "k %= n + 1"),
        lambda rng, size: f"{size} {rng.randint(0, 99)}\n{row(range(size))}",
        scales=True,
    ),
    Own(
        "first-appearances",
        """\
n = int(input())
seen = {}
for x in input().split():
    seen[x] = seen.get(x, 0) + 1
for x, times in seen.items():
    print(x, times)
""",
        ("seen.get(x, 0) + 1", "seen.get(x, 1) + 1"),
        counted(1, 20),
        scales=True,
    ),
    Own(
        "median",
        """\
n = int(input())
xs = sorted(map(int, input().split()))
if n % 2:
    print(float(xs[n // 2]))
else:
    print((xs[n // 2 - 1] + xs[n // 2]) / 2)
""",
        ("xs = sorted(map(int, input().split()))", "xs = list(map(int, input().split()))"),
        counted(),
        scales=True,
    ),
    Own(
        "range-sums",
        """\
from itertools import accumulate

n, q = map(int, input().split())
sums = [0, *accumulate(map(int, input().split()))]
for _ in range(q):
    a, b = map(int, input().split())
    print(sums[b] - sums[a - 1])
""",
        ("sums[a - 1]", "sums[a]"),
        lambda rng, size: (
            f"{size} {size}\n{row(integers(rng, size, 1))}"
            + "".join(row(sorted(integers(rng, 2, 1, size))) for _ in range(size))
        ),
        scales=True,
    ),
    Own(
        "window-maxima",
        """\
from collections import deque

n, k = map(int, input().split())
xs = list(map(int, input().split()))
window = deque()
answer = []
for i, x in enumerate(xs):
    while window and xs[window[-1]] <= x:
        window.pop()
    window.append(i)
    if window[0] <= i - k:
        window.popleft()
    if i >= k - 1:
        answer.append(xs[window[0]])
print(*answer)
""",
        ("window[0] <= i - k", "window[0] < i - k"),
        lambda rng, size: f"{size} {(size + 2) // 3}\n{row(integers(rng, size))}",
        scales=True,
    ),
    Own(
        "stock-profit",
        """\
n = int(input())
low, best = 10**9, 0
for price in map(int, input().split()):
    low = min(low, price)
    best = max(best, price - low)
print(best)
""",
        ("low = min(low, price)", "low = min(low, price + 1)"),
        counted(1),
        scales=True,
    ),
    Own(
        "next-greater",
        """\
n = int(input())
xs = list(map(int, input().split()))
answer = [-1] * n
stack = []
for i in range(n):
    while stack and xs[stack[-1]] < xs[i]:
        answer[stack.pop()] = xs[i]
    stack.append(i)
print(*answer)
""",
        ("xs[stack[-1]] < xs[i]", "xs[stack[-1]] <= xs[i]"),
        counted(1, 3),
        scales=True,
    ),
    Own(
        "merged-intervals",
        """\
n = int(input())
intervals = sorted(sorted(map(int, input().split())) for _ in range(n))
merged = [intervals[0]]
for start, end in intervals[1:]:
    if start <= merged[-1][1]:
        merged[-1][1] = max(merged[-1][1], end)
    else:
        merged.append([start, end])
print(len(merged))
for start, end in merged:
    print(start, end)
""",
        ("merged[-1][1] = max(merged[-1][1], end)", "merged[-1][1] = end"),
        rows(2, 1, 60),
        scales=True,
    ),
    Own(
        "equal-halves",
        """\
n = int(input())
xs = list(map(int, input().split()))
reachable = {0}
for x in xs:
    reachable |= {total + x for total in reachable}
half, odd = divmod(sum(xs), 2)
print("YES" if not odd and half in reachable else "NO")
""",
        ("not odd and half", "half"),
        counted(1, 9),
    ),
]
