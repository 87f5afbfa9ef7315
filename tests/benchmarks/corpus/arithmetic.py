"""Problems on single numbers, most with several of them in one input."""

from __future__ import annotations

from .inputs import rows
from .problem import Own

ARITHMETIC = [
    Own(
        "gcd-and-lcm",
        """\
from math import gcd

for _ in range(int(input())):
    a, b = map(int, input().split())
    g = gcd(a, b)
    print(g, a * b // g)
""",
        ("a * b // g", "a * b"),
        rows(2, 1, 60),
        scales=True,
    ),
    Own(
        "primes-below",
        """\
n = int(input())
sieve = [True] * (n + 2)
sieve[0] = sieve[1] = False
for p in range(2, int(n**0.5) + 1):
    if sieve[p]:
        for m in range(p * p, n + 1, p):
            sieve[m] = False
print(sum(sieve[: n + 1]))
""",
        ("range(p * p, n + 1, p)", "range(p * p + p, n + 1, p)"),
        lambda rng, size: f"{rng.randint(size, 400 * size)}\n",
    ),
    Own(
        "factors",
        """\
for _ in range(int(input())):
    n = int(input())
    factors = []
    p = 2
    while p * p <= n:
        while n % p == 0:
            factors.append(p)
            n //= p
        p += 1
    if n > 1:
        factors.append(n)
    print(*factors)
""",
        ("p * p <= n", "p * p < n"),
        rows(1, 2, 50),
        scales=True,
    ),
    Own(
        "fibonacci-modulo",
        """\
n, m = map(int, input().split())
a, b = 0, 1
for _ in range(n):
    a, b = b, (a + b) % m
print(a % m)
""",
        ("a, b = 0, 1", "a, b = 1, 1"),
        lambda rng, size: f"{rng.randint(1, 50 * size)} {rng.randint(100, 10**9)}\n",
    ),
    Own(
        "other-base",
        """\
for _ in range(int(input())):
    n, base = map(int, input().split())
    digits = ""
    while n:
        n, digit = divmod(n, base)
        digits = "0123456789abcdef"[digit] + digits
    print(digits)
""",
        ('"0123456789abcdef"[digit] + digits', 'digits + "0123456789abcdef"[digit]'),
        lambda rng, size: (
            f"{size}\n"
            + "".join(f"{rng.randint(20, 10**6)} {rng.randint(2, 16)}\n" for _ in range(size))
        ),
        scales=True,
    ),
    Own(
        "collatz",
        """\
def steps(n):
    count = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        count += 1
    return count


t = int(input())
for _ in range(t):
    print(steps(int(input())))
""",
        ("count = 0", "count = 1"),
        rows(1, 1, 30),
    ),
    Own(
        "fewest-squares",
        """\
t = int(input())
queries = [int(input()) for _ in range(t)]
fewest = [0]
for n in range(1, max(queries) + 1):
    fewest.append(1 + min(fewest[n - i * i] for i in range(1, int(n**0.5) + 1)))
for n in queries:
    print(fewest[n])
""",
        ("for i in range(1, int(n**0.5) + 1)", "for i in [int(n**0.5)]"),
        lambda rng, size: f"{size + 3}\n18\n14\n28\n" + "".join(f"{n + 1}\n" for n in range(size)),
    ),
    Own(
        "power-modulo",
        """\
def power(base, exponent, modulus):
    result = 1
    while exponent:
        if exponent & 1:
            result = result * base % modulus
        base = base * base % modulus
        exponent >>= 1
    return result


for _ in range(int(input())):
    print(power(*map(int, input().split())))
""",
        ("if exponent & 1:", "if exponent:"),
        rows(3, 5, 10**6),
    ),
    Own(
        "digit-sum",
        """\
t = int(input())
for _ in range(t):
    n = input().strip()
    while len(n) > 1:
        n = str(sum(map(int, n)))
    print(n)
""",
        ("while len(n) > 1:", "if len(n) > 1:"),
        rows(1, 199, 99999),
        scales=True,
    ),
    Own(
        "fizz-buzz",
        """\
a, b, n = map(int, input().split())
for i in range(1, n + 1):
    if i % a == 0 and i % b == 0:
        print("FizzBuzz")
    elif i % a == 0:
        print("Fizz")
    elif i % b == 0:
        print("Buzz")
    else:
        print(i)
""",
        ("if i % a == 0 and i % b == 0:", "if i % (a * b) == 0:"),
        lambda rng, size: f"2 4 {size + 8}\n",
    ),
]
