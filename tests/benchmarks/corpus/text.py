"""Problems on words and lines."""

from __future__ import annotations

from .inputs import row, word
from .problem import Own


def _words(letters: str, longest: int):
    return lambda rng, size: (
        f"{size}\n"
        + "".join(f"{word(rng, rng.randint(1, longest), letters)}\n" for _ in range(size))
    )


TEXT = [
    Own(
        "palindromes",
        """\
t = int(input())
for _ in range(t):
    s = input().strip()
    print("Yes" if s == s[::-1] else "No")
""",
        ('"Yes" if s == s[::-1]', '"Yes" if s[0] == s[-1]'),
        _words("ab", 6),
        scales=True,
    ),
    Own(
        "word-counts",
        """\
from collections import Counter

n = int(input())
counts = Counter()
for _ in range(n):
    counts.update(input().lower().split())
for name, times in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
    print(name, times)
""",
        ("input().lower().split()", "input().split()"),
        lambda rng, size: (
            f"{size}\n" + "".join(row(word(rng, 2, "aAb") for _ in range(4)) for _ in range(size))
        ),
        scales=True,
    ),
    Own(
        "shift-cipher",
        """\
k = int(input())
text = input()
shifted = []
for c in text:
    if c.isalpha():
        first = ord("a") if c.islower() else ord("A")
        c = chr((ord(c) - first + k) % 26 + first)
    shifted.append(c)
print("".join(shifted))
""",
        ("(ord(c) - first + k) % 26", "(ord(c) - first + k) % 25"),
        lambda rng, size: (
            f"{rng.randint(1, 25)}\n{row(word(rng, 6, 'abxyzABXYZ,.') for _ in range(size + 2))}"
        ),
        scales=True,
    ),
    Own(
        "run-lengths",
        """\
s = input()
parts = []
i = 0
while i < len(s):
    j = i
    while j < len(s) and s[j] == s[i]:
        j += 1
    parts.append(s[i] + str(j - i))
    i = j
print("".join(parts))
""",
        ("str(j - i)", "(str(j - i) if j - i > 1 else '')"),
        lambda rng, size: f"{word(rng, size, 'ab')}\n",
        scales=True,
    ),
    Own(
        "balanced-brackets",
        """\
closing = {")": "(", "]": "[", "}": "{"}
for _ in range(int(input())):
    stack = []
    good = True
    for c in input().strip():
        if c in "([{":
            stack.append(c)
        elif not stack or stack.pop() != closing[c]:
            good = False
            break
    print("YES" if good and not stack else "NO")
""",
        ("good and not stack", "good"),
        _words("()[]", 4),
        scales=True,
    ),
    Own(
        "anagram-groups",
        """\
n = int(input())
groups = {}
for _ in range(n):
    s = input().strip()
    groups.setdefault("".join(sorted(s)), []).append(s)
print(len(groups), max(map(len, groups.values())))
""",
        ('"".join(sorted(s))', '"".join(sorted(set(s)))'),
        lambda rng, size: f"{size + 2}\naab\nabb\n" + _words("abc", 3)(rng, size).split("\n", 1)[1],
        scales=True,
    ),
    Own(
        "edit-distance",
        """\
a = input().strip()
b = input().strip()
previous = list(range(len(b) + 1))
for i in range(1, len(a) + 1):
    current = [i]
    for j in range(1, len(b) + 1):
        change = previous[j - 1] + (a[i - 1] != b[j - 1])
        current.append(min(change, previous[j] + 1, current[j - 1] + 1))
    previous = current
print(previous[-1])
""",
        ("(a[i - 1] != b[j - 1])", "2 * (a[i - 1] != b[j - 1])"),
        lambda rng, size: f"{word(rng, size, 'ab')}\n{word(rng, size + 1, 'bc')}\n",
    ),
    Own(
        "common-prefix",
        """\
n = int(input())
words = [input().strip() for _ in range(n)]
prefix = words[0]
for w in words[1:]:
    while not w.startswith(prefix):
        prefix = prefix[:-1]
print(len(prefix), prefix or "-")
""",
        ('prefix or "-"', "prefix or words[0]"),
        lambda rng, size: (
            f"{size + 1}\n" + "".join(f"{word(rng, 3, 'ab')}\n" for _ in range(size + 1))
        ),
        scales=True,
    ),
]
