"""A table as files: CSV for people and spreadsheets, parquet beside it for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from valley.records import whole

if TYPE_CHECKING:
    import pyarrow as pa


def write_frame(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, and as parquet under the same name, each whole or not at all.

    A column of several types, such as an axis with numbers and words, is text in both.

    Raises:
        OSError: a file cannot be written.
    """
    import pyarrow.csv
    import pyarrow.parquet

    arrow = _arrow(table)
    for target in (path, path.with_suffix(".parquet")):
        with whole(target) as temporary:
            if target == path:
                pyarrow.csv.write_csv(arrow, temporary)
            else:
                pyarrow.parquet.write_table(arrow, temporary)


def _arrow(table: pd.DataFrame) -> pa.Table:
    import pyarrow as pa

    columns = {}
    for name in table.columns:
        values: Any = table[name]
        try:
            column = pa.array(values, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            column = pa.array([_text(value) for value in values])
        if pa.types.is_nested(column.type):
            column = pa.array([_text(value) for value in values])
        columns[name] = column
    return pa.table(columns)


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and value != value):
        return None
    return json.dumps(value, default=str)
