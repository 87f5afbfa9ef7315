"""Problems on grids and graphs, solved by search."""

from __future__ import annotations

from .inputs import grid, integers, row
from .problem import Own


def _square(cells: str):
    return lambda rng, size: grid(rng, size + 1, size + 2, cells)


def _edges(weighted: bool = False):
    def make(rng, size):
        nodes = size + 1
        edges = [
            [*integers(rng, 2, 1, nodes), *([rng.randint(1, 9)] if weighted else [])]
            for _ in range(2 * size)
        ]
        return f"{nodes} {len(edges)}\n" + "".join(map(row, edges))

    return make


GRAPHS = [
    Own(
        "maze",
        """\
from collections import deque

h, w = map(int, input().split())
cells = [input() for _ in range(h)]
distance = {(0, 0): 0}
queue = deque([(0, 0)])
while queue:
    r, c = queue.popleft()
    for nr, nc in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
        if 0 <= nr < h and 0 <= nc < w and cells[nr][nc] == "." and (nr, nc) not in distance:
            distance[nr, nc] = distance[r, c] + 1
            queue.append((nr, nc))
print(distance.get((h - 1, w - 1), -1))
""",
        ("(h - 1, w - 1), -1", "(h - 1, w - 1), 0"),
        _square("...#"),
    ),
    Own(
        "islands",
        """\
import sys

sys.setrecursionlimit(10000)
h, w = map(int, input().split())
cells = [list(input()) for _ in range(h)]


def sink(r, c):
    if 0 <= r < h and 0 <= c < w and cells[r][c] == "#":
        cells[r][c] = "."
        sink(r + 1, c)
        sink(r - 1, c)
        sink(r, c + 1)
        sink(r, c - 1)


count = 0
for r in range(h):
    for c in range(w):
        if cells[r][c] == "#":
            count += 1
            sink(r, c)
print(count)
""",
        ("        sink(r, c - 1)\n", ""),
        lambda rng, size: grid(rng, size + 5, size + 7, "#."),
    ),
    Own(
        "components",
        """\
n, m = map(int, input().split())
parent = list(range(n + 1))


def find(x):
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


for _ in range(m):
    a, b = map(int, input().split())
    parent[find(a)] = find(b)
print(sum(find(x) == x for x in range(1, n + 1)))
""",
        ("range(1, n + 1))", "range(n + 1))"),
        _edges(),
        scales=True,
    ),
    Own(
        "shortest-paths",
        """\
import heapq

n, m = map(int, input().split())
graph = [[] for _ in range(n + 1)]
for _ in range(m):
    a, b, cost = map(int, input().split())
    graph[a].append((b, cost))
    graph[b].append((a, cost))
best = {}
heap = [(0, 1)]
while heap:
    d, a = heapq.heappop(heap)
    if a in best:
        continue
    best[a] = d
    for b, cost in graph[a]:
        if b not in best:
            heapq.heappush(heap, (d + cost, b))
print(*(best.get(a, -1) for a in range(1, n + 1)))
""",
        ("(d + cost, b)", "(d + 1, b)"),
        _edges(weighted=True),
        scales=True,
    ),
    Own(
        "courses",
        """\
from collections import defaultdict, deque

n, m = map(int, input().split())
after = defaultdict(list)
waits = [0] * (n + 1)
for _ in range(m):
    a, b = map(int, input().split())
    after[a].append(b)
    waits[b] += 1
ready = deque(x for x in range(1, n + 1) if not waits[x])
taken = 0
while ready:
    taken += 1
    for b in after[ready.popleft()]:
        waits[b] -= 1
        if not waits[b]:
            ready.append(b)
print("all" if taken == n else taken)
""",
        ("if not waits[b]:", "if waits[b] < 2:"),
        lambda rng, size: "4 4\n1 2\n1 3\n2 4\n3 4\n" if size == 1 else _edges()(rng, size),
        scales=True,
    ),
    Own(
        "life",
        """\
h, w = map(int, input().split())
cells = [input() for _ in range(h)]
for r in range(h):
    line = ""
    for c in range(w):
        near = 0
        for rr in range(max(r - 1, 0), min(r + 2, h)):
            for cc in range(max(c - 1, 0), min(c + 2, w)):
                near += cells[rr][cc] == "#"
        if cells[r][c] == "#":
            line += "#" if near in (3, 4) else "."
        else:
            line += "#" if near == 3 else "."
    print(line)
""",
        ("near in (3, 4)", "near in (2, 3)"),
        lambda rng, size: grid(rng, size + 3, size + 4, "#."),
    ),
]
