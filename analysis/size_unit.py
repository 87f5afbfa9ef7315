"""What sizes count: traces, or problems, tokens or characters, as `data.select.size_in` of the grid has it.

One of them holds for everything that is said and drawn of a sweep. So it is set once, around that, and not
handed through each sentence and each axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import yaml
from collect import Collected

from valley.errors import UserError

AXIS = "data.select.size_in"
_unit = ContextVar("size_unit", default="traces")


def unit_of(collected: Collected) -> str:
    """What the sizes of a sweep's cells count.

    Raises:
        UserError: several things, which are not one axis.
    """
    path = collected.folder / "sweep.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    in_all = ((settings.get("data") or {}).get("select") or {}).get("size_in", "traces")
    trained = (axes for axes in collected.cells.values() if axes["size"])
    found = sorted({axes.get(AXIS, in_all) for axes in trained}) or [in_all]
    if len(found) > 1:
        raise UserError(
            f"sweep {collected.sweep!r}: sizes are in {' and in '.join(found)}, which are not one axis; "
            f"choose with --where {AXIS}={found[0]}"
        )
    return str(found[0])


@contextmanager
def counted_in(unit: str) -> Iterator[None]:
    """Say and draw sizes in this unit."""
    before = _unit.set(unit)
    try:
        yield
    finally:
        _unit.reset(before)


def unit() -> str:
    """The unit that sizes are said in now: `traces`."""
    return _unit.get()


def size(value: float) -> str:
    """A size without its unit: two digits are enough of an interpolated one."""
    if value < 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{float(f'{value:.2g}'):,.0f}"


def counted(value: float) -> str:
    """A size with its unit: `1,300 traces`."""
    return f"{size(value)} {unit()}"


def axis_label() -> str:
    """What stands under an axis of sizes."""
    return "distillation traces" if unit() == "traces" else f"{unit()} of distillation traces"
