"""Format the help of commands, and define the options that all commands have.

The help shows commands and options in groups, and examples.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

from enroll.cli.examples import PANELS
from enroll.cli.output import shared_options
from enroll.cli.values import avoid_pydantic

_OTHERS = "Options"


class Command(TyperCommand):
    """Adds `--quiet` and `--json` to a command; its help has options by purpose, and examples."""

    def __init__(self, name: str | None, *, params: list[Any] | None = None, **extra: Any) -> None:
        super().__init__(name, params=[*(params or ()), *_missing(params or ())], **extra)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse options and arguments without loading Pydantic where little is to be converted."""
        avoid_pydantic(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options by purpose."""
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        _write_examples(self.epilog, formatter)


class Group(TyperGroup):
    """Groups commands; the help lists them by purpose."""

    def __init__(self, *, params: list[Any] | None = None, **extra: Any) -> None:
        if extra.get("invoke_without_command"):  # a command itself, as `embed serve`
            params = [*(params or ()), *_missing(params or ())]
        super().__init__(params=params, **extra)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options without loading Pydantic where little is to be converted."""
        avoid_pydantic(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, then the commands."""
        _write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands by purpose, each with the first sentence of its help."""
        panels: dict[str, list[tuple[str, str]]] = {panel: [] for panel in PANELS.values()}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            panel = getattr(command, "rich_help_panel", None)
            short = command.get_short_help_str(limit=200)
            panels.setdefault(panel if isinstance(panel, str) else "Commands", []).append((name, short))
        for panel, rows in panels.items():
            if rows:
                with formatter.section(panel):
                    _write_rows(rows, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        _write_examples(self.epilog, formatter)


def _missing(params: Iterable[Any]) -> list[Any]:
    """Return the shared options that a command does not define itself."""
    there = {name for entry in params for name in (entry.name, *entry.opts)}
    return [
        entry for name, entry in shared_options().items() if name not in there and not there & {*entry.opts}
    ]


def _write_options(command: Any, ctx: Any, formatter: Any) -> None:
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], _OTHERS: []}
    for entry in command.get_params(ctx):
        record = entry.get_help_record(ctx)
        if record is None:
            continue
        panel = getattr(entry, "rich_help_panel", None)
        found = panel if isinstance(panel, str) and panel else _OTHERS
        panels.setdefault("Arguments" if entry.param_type_name == "argument" else found, []).append(record)
    for panel, rows in panels.items():
        if rows:
            with formatter.section(panel):
                _write_rows(rows, formatter)


def _write_rows(rows: list[tuple[str, str]], formatter: Any) -> None:
    """Write names and descriptions in two columns, as far as a narrow terminal has room."""
    formatter.write_dl(rows, col_max=min(30, formatter.width // 2))


def _write_examples(examples: str | None, formatter: Any) -> None:
    if examples:
        with formatter.section("Examples"):
            for line in examples.splitlines():
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
