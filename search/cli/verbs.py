"""The command line, made from the options that each verb declares in search/commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING
from functools import cache
from typing import Annotated, Any

import typer
from typer.main import get_command

import search
from search.commands import COMMANDS
from search.commands.options import Declared, Options, declared
from search.errors import Interrupted, SearchError, flag
from search.files import streams

app = typer.Typer(
    help="Hyperparameter search for people who fine-tune image classifiers.\n\n"
    "Write a space file, run it, read the ranked table, train the best config again:\n\n"
    "  search run spaces/digits.py\n\n  search train reports/digits.best.yaml\n\n"
    "Exit status: 0 done; 1 the run failed; 2 the words or the space file are wrong; 3 the storage, the disk or "
    "the cluster; 130 interrupted, 143 terminated: the same command goes on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Stopped(BaseException):
    """Ctrl-C or SIGTERM ended a verb that says nothing of it itself."""


def _options_of(verb: Callable[..., Any]) -> type[Options]:
    """The class of a verb's options."""
    found: type[Options] = inspect.get_annotations(verb)["options"]
    return found


def _parameter(described: Declared) -> inspect.Parameter:
    """An option or argument as typer reads it from a signature."""
    name, told, default = described.field.name, described.help, described.field.default
    more: dict[str, Any] = {"help": told.text, "metavar": told.metavar, "envvar": told.envvar}
    more |= {"min": told.min, "max": told.max}
    if described.field.kw_only:
        words = (flag(name), *([told.short] if told.short else []))
        made = typer.Option(*words, **more)
    else:
        made = typer.Argument(**more)
    if default is MISSING:
        default = inspect.Parameter.empty
    elif default == ():
        default = None
    kind: Any = described.word | None if default is None else described.word
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, made])


def _signature(options: type[Options]) -> inspect.Signature:
    parameters = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    for described in declared(options):
        if not described.help.rest and not described.help.python:
            parameters.append(_parameter(described))
    return inspect.Signature(parameters)


def _add(verb: Callable[..., Any]) -> None:
    """Add a verb to the command. What it returns is no matter, but for False: exit status 1."""
    options = _options_of(verb)
    rest = [described.field.name for described in declared(options) if described.help.rest]

    def call(context: typer.Context, **words: Any) -> None:
        if options.trains:
            streams.outlast()
        given = {name: word for name, word in words.items() if word is not None and word != []}
        try:
            done = verb(options(**given, **dict.fromkeys(rest, context.args)))
        except Interrupted as stop:  # typer would take a run that ended in good order for one that crashed
            raise typer.Exit(stop.exit_status) from None
        except KeyboardInterrupt:  # typer would end without a word
            raise Stopped from None
        raise typer.Exit(1 if done is False else 0)

    signature = _signature(options)
    call.__signature__ = signature  # type: ignore[attr-defined] # which typer reads
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
    extra = {"allow_extra_args": True, "ignore_unknown_options": True} if rest else {}
    app.command(verb.__name__.rstrip("_"), help=inspect.getdoc(verb), context_settings=extra)(call)


for _verb in COMMANDS:
    _add(_verb)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"search {search.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_say_version)
    ] = False,
) -> None: ...


@cache
def _command() -> Callable[..., Any]:
    """The command with all its verbs, which takes longer to make than most verbs take to refuse a word."""
    return get_command(app)


def call() -> int:
    """Run the command that was typed; its exit status. Raises SearchError, also for words that it does not know."""
    try:
        return int(_command()(standalone_mode=False) or 0)
    except typer.TyperException as error:
        said, verb = error.format_message().rstrip(), getattr(error, "ctx", None)
        if "\n" in said:  # nothing was typed, and this is the help
            typer.echo(said, err=True)
            return 2
        more = f"; `{verb.command_path} --help` says what there is" if verb is not None else ""
        said = said.rstrip(".").replace(": Input should", ": it should")  # pydantic's words
        raise SearchError(f"{said[:1].lower()}{said[1:]}{more}") from None
