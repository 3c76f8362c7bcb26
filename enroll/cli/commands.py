"""The commands of `embed`: their names, in the order of the help, and which module has each.

Only what a command line names is imported and declared: all of it takes as long as importing numpy.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from enroll.cli.ending import check_memory
from enroll.cli.examples import EXAMPLES, PANELS
from enroll.cli.help import Command, Group
from enroll.cli.output import reset_output
from enroll.cli.terminal import printable, show_warnings
from enroll.cli.version import version_line

_NARROW = 52  # columns
_UsageFault: Any = typer.BadParameter.__base__  # base class of click's errors about a wrong command line


class CommandLine(Group):
    """Runs the `embed` command.

    Its usage errors repeat what was typed, but no password and no key.
    """

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> typer.Context:
        """Parse the options before the first command's name, and keep all that was typed."""
        typed = tuple(args)
        reset_output()
        if (columns := shutil.get_terminal_size().columns) < _NARROW:  # click takes no fewer by itself
            extra["terminal_width"] = max(columns - 1, _NARROW // 2)
        with _hiding_secrets(typed):
            return super().make_context(info_name, args, parent, obj=typed, **extra)  # type: ignore[return-value]

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        check_memory()
        with _hiding_secrets(ctx.obj):
            return super().invoke(ctx)


@contextmanager
def _hiding_secrets(typed: Sequence[str]) -> Iterator[None]:
    """Remove secrets from a usage error, before click prints it."""
    try:
        yield
    except _UsageFault as error:
        from enroll.store.redaction import hidden_as_typed

        if error.ctx is None or error.message != error.ctx.get_help():  # help, with its lines, stays
            error.message = printable(hidden_as_typed(error.message, typed))
            if type(error).__name__ == "NoSuchOption":
                error.message += (
                    "; a name or file that begins with a dash goes behind -- , as in "
                    "`embed gallery remove -- -v`"
                )
        raise


def _show_version(asked: bool) -> None:
    if asked:
        print(version_line())
        raise typer.Exit


def global_options(
    key: Annotated[
        Path | None,
        typer.Option(
            help="File with the key of an encrypted gallery; else EMBED_GALLERY_KEY_FILE, EMBED_GALLERY_KEY.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say which version this is."),
    ] = False,
) -> None:
    """Train a face-style embedding, enroll people, identify them: a name, or unknown."""
    show_warnings()
    if key is not None:
        from enroll.store.keys import FILE_VARIABLE, KEY_VARIABLE

        os.environ[FILE_VARIABLE] = str(key)
        os.environ.pop(KEY_VARIABLE, None)  # the option of one command has priority over the environment


# What is typed behind `embed` -> its commands, each with the module and function that run it.
COMMANDS: dict[str, dict[str, str]] = {
    "": {
        "train": "train:train",
        "enroll": "enroll:enroll",
        "identify": "identify:identify",
        "watch-frigate": "watch:watch_frigate",
        "calibrate": "evaluate:calibrate_gallery",
        "evaluate": "evaluate:evaluate_folder",
        "prepare": "prepare:prepare",
        "info": "train:info",
        "data": "train:data",
        "export": "train:export",
        "quantize": "train:quantize",
    },
    "gallery": {
        "list": "gallery:list_people",
        "remove": "gallery:remove",
        "remove-strangers": "gallery:remove_strangers",
        "rename": "gallery:rename",
        "merge-people": "gallery:merge_people",
        "show": "gallery:show",
        "terms": "gallery:change_terms",
        "purge": "gallery:purge",
        "log": "gallery:log",
        "new-key": "gallery:new_key",
        "encrypt": "gallery:encrypt",
        "drop-unreadable": "gallery:drop_unreadable",
        "export": "transfer:export_gallery",
        "import": "transfer:import_gallery",
        "merge": "transfer:merge_gallery",
        "verify": "doctor:verify",
        "re-embed": "transfer:re_embed",
        "doctor": "doctor:doctor",
        "remove-photo": "gallery:remove_photo",
    },
    "library": {
        "scan": "library_scan:scan",
        "groups": "library:groups",
        "suggestions": "library:suggestions",
        "confirm": "library_review:confirm",
        "reject": "library_review:reject",
        "ignore": "library_review:ignore",
        "not-a-face": "library_review:not_a_face",
        "unknown": "library_review:unknown",
        "merge": "library_review:merge",
        "split": "library_review:split",
        "undo": "library_review:undo",
        "history": "library_review:history",
        "faces": "library_review:faces",
        "find": "library:find",
        "tag": "library_files:tag",
        "import-names": "library_files:import_names",
        "sort": "library_files:sort",
        "forget": "library_review:forget",
    },
    "serve keys": {
        "new": "serve:new_key",
        "list": "serve:list_keys",
        "revoke": "serve:revoke_key",
    },
}
_ASKS_FOR_LIST: tuple[list[str], ...] = ([], ["-h"], ["--help"])
_HELP = {
    "gallery": "People of a gallery, its keys, copies.",
    "library": "Photo libraries: who is in the photos of a folder.",
    "serve keys": "Keys of the server: make, list, revoke.",
}


def command_line(words: Sequence[str] | None = None) -> typer.Typer:
    """Declare the command line.

    Args:
        words: what was typed; of commands and groups, only those that it begins with are declared, or all if
            it begins with neither. Where only the list of them is asked for, they have no options and do
            nothing. None: all, whole.
    """
    app = typer.Typer(
        cls=CommandLine,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help: loading rich for it takes as long as all else
        context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]},
        help="Train a face-style embedding, enroll people, identify them: a name, or unknown.",
        epilog="\n".join(EXAMPLES[""]),
    )
    app.callback()(global_options)
    if words is not None and [*words] in _ASKS_FOR_LIST:
        _add_names(app)
        return app
    words = words or ()
    groups = {path.partition(" ")[0] for path in COMMANDS if path}
    named = words[0] if words and words[0] in {*COMMANDS[""], *groups} else None
    for name in ("gallery", "library"):
        if named in (None, name):
            _add_commands(_add_group(app, name, no_args_is_help=True), name, words[1:])
    if named in (None, "serve"):
        server = _add_group(app, "serve", invoke_without_command=True)
        server.callback()(_function("serve:serve"))
        keys = _add_group(server, "serve keys", no_args_is_help=True)
        _add_commands(keys, "serve keys", words[2:] if words[1:2] == ["keys"] else ())
    if named is None or named in COMMANDS[""]:
        _add_commands(app, "", words)
    return app


def _add_names(app: typer.Typer) -> None:
    """Add commands and groups as the list of them needs them: declaring options takes most of the time."""
    for name in ("gallery", "library"):
        _add_group(app, name)
    _add_group(app, "serve", help=_function("serve:serve").__doc__)
    for name, place in COMMANDS[""].items():
        declared = app.command(name, help=_function(place).__doc__, rich_help_panel=PANELS.get(name))
        declared(lambda: None)


def _add_group(above: typer.Typer, path: str, **extra: Any) -> typer.Typer:
    """Add a group of commands to another; `path` is all that is typed behind `embed`."""
    if path in _HELP:  # else the docstring of its callback
        extra["help"] = _HELP[path]
    made = typer.Typer(cls=Group, epilog="\n".join(EXAMPLES[path]), **extra)
    above.add_typer(made, name=path.rpartition(" ")[2], rich_help_panel=PANELS.get(path))
    return made


def _add_commands(group: typer.Typer, path: str, words: Sequence[str]) -> None:
    """Add the command that `words` begin with, or all of a group."""
    commands = COMMANDS[path]
    for name in words[:1] if words and words[0] in commands else commands:
        full = f"{path} {name}".strip()
        declared = group.command(
            name, cls=Command, epilog="\n".join(EXAMPLES[full]), rich_help_panel=PANELS.get(full)
        )
        declared(_function(commands[name]))


def _function(place: str) -> Callable[..., None]:
    module, _, name = place.partition(":")
    function: Callable[..., None] = getattr(import_module(f"enroll.cli.{module}"), name)
    return function
