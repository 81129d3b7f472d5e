# SPDX-License-Identifier: Apache-2.0
"""How all commands talk: progress bars, tables, and one line an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
import typer

from tunnel_crack_ros.json_file import write_json

console = Console(stderr=True, highlight=False)
# Wider than any table: a terminal breaks lines that are too long for it, and all that they say can
# be read and copied. Rich would cut cells, or fold each into a column a few letters wide. What
# stands in tables are names of files and models, not markup. Without a height, the width does not
# count where TERM is dumb.
output = Console(highlight=False, markup=False, emoji=False, width=10_000, height=25)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors that a user can mend into one line and exit code 1, all others into 2."""
    try:
        yield
    except (ValueError, OSError, LookupError, ImportError, RuntimeError) as error:
        console.print('[red]error:[/red] ' + escape(str(error) or type(error).__name__),
                      soft_wrap=True)
        raise typer.Exit(1) from (error if os.environ.get('TUNNEL_CRACK_TRACEBACK') else None)
    except Exception as error:
        console.print_exception()
        console.print('[red]internal error:[/red] please report it with the lines above')
        raise typer.Exit(2) from error


def progress_bars() -> Progress:
    return Progress(TextColumn('{task.description:<12}'), BarColumn(), MofNCompleteColumn(),
                    TextColumn('{task.fields[unit]}'), TimeRemainingColumn(), console=console)


def moving_bar(bars: Progress, what: str, unit: str = 'frames') -> Any:
    """Return a callback (done, of) that moves a new bar."""
    task: list[TaskID] = []

    def show(done: int, of: int) -> None:
        if not task:
            task.append(bars.add_task(what, total=of, unit=unit))
        bars.update(task[0], completed=done, total=of)
    return show


def print_table(columns: tuple[str, ...], rows: list[list[str]]) -> None:
    """Print a table without lines."""
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*row)
    output.print(table)


@contextmanager
def saved_json(path: Path | None, content: Any) -> Iterator[None]:
    """Write a command's numbers where it is asked to; the tables are printed inside.

    Neither may cost what took minutes: a closed pipe not the file, a path that cannot be written
    not the tables. That path is told at the end.

    :param path: None: nowhere.
    """
    refused: Exception | None = None
    try:
        if path is not None:
            write_json(path, content)
    except (OSError, ValueError) as error:
        refused = error
    yield
    if refused is not None:
        with one_line_errors():
            raise refused
