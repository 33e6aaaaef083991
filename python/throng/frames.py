"""Tables of what happened in a run, without further packages."""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Sequence

if TYPE_CHECKING:
    import pandas

_SHOWN_ROWS = 10  # of a frame's repr


class Frame(dict[str, list[Any]]):
    """A table: a ``dict`` from the name of each column to the list of its values, all of one length.

    ``pandas.DataFrame(frame)``, ``polars.DataFrame(frame)`` and ``pyarrow.table(frame)`` take it as it is, and
    matplotlib plots its columns. ``len(frame)`` counts columns, as of every dict.

    - ``num_rows``: the number of rows

    >>> frame = Frame.of(("step", "name"), [(0, "Ann"), (0, "Ben"), (1, "Ann")])
    >>> frame["name"], frame.num_rows
    (['Ann', 'Ben', 'Ann'], 3)
    >>> frame.where(step=0)["name"]
    ['Ann', 'Ben']
    >>> frame
    step  name
       0  Ann
       0  Ben
       1  Ann
    """

    @classmethod
    def of(cls, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Frame:
        """Makes a frame of its rows.

        >>> Frame.of(("x", "y"), [(1, 2)])["y"]
        [2]
        """
        frame = cls((column, []) for column in columns)
        lists = list(frame.values())
        for row in rows:
            for values, value in zip(lists, row, strict=True):
                values.append(value)
        return frame

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.values()), ()))

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows, as tuples in the order of the columns.

        >>> list(Frame(x=[1, 2], y=[3, 4]).rows())
        [(1, 3), (2, 4)]
        """
        return zip(*self.values())

    def where(self, **equal: Any) -> Frame:
        """The rows whose columns have these values.

        >>> Frame(step=[0, 1, 1], calls=[3, 5, 8]).where(step=1)["calls"]
        [5, 8]
        """
        wanted = [(self[column], value) for column, value in equal.items()]
        kept = [i for i in range(self.num_rows) if all(values[i] == value for values, value in wanted)]
        return Frame((column, [values[i] for i in kept]) for column, values in self.items())

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes a CSV file with a line of column names; None becomes an empty cell."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self)
            writer.writerows(self.rows())

    def to_pandas(self) -> pandas.DataFrame:
        """A ``pandas.DataFrame``. Needs pandas."""
        import pandas

        return pandas.DataFrame(self)

    def __repr__(self) -> str:
        shown = [[str(column), *(_show(value) for value in values[:_SHOWN_ROWS])] for column, values in self.items()]
        numeric = [all(isinstance(value, (int, float)) for value in values[:_SHOWN_ROWS]) for values in self.values()]
        widths = [max(map(len, cells)) for cells in shown]
        lines = ["  ".join(cell.rjust(width) if right else cell.ljust(width)
                           for cell, width, right in zip(cells, widths, numeric)).rstrip() for cells in zip(*shown)]
        if self.num_rows > _SHOWN_ROWS:
            lines.append(f"... {self.num_rows} rows")
        return "\n".join(lines)


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
