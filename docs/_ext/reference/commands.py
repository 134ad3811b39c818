"""Every command, from the command line itself."""

from pathlib import Path
from typing import Any, get_args, get_origin

import typer

from reference.markdown import code, paragraphs, table, text
from visnet.commands.app import app

INTRODUCTION = """# Commands

`python -m visnet COMMAND`, or `visnet COMMAND` where `.venv` is activated. `--help` of each says the same as this
page; `visnet --install-completion` has Tab complete them. What a command refuses is one line on stderr, and exit
code 2.
"""
WORDS = {Path: "path", int: "whole number", float: "number", str: "text"}


def page() -> str:
    """Return the page of commands, panel by panel."""
    parts, panel = [INTRODUCTION], ""
    found = every()
    for name, command in sorted(found.items(), key=lambda item: _panel(found, item[0])):
        if (mine := _panels(found)[_panel(found, name)]) != panel:
            panel = mine
            parts.append(f"## {panel}\n")
        parts.append(_told(name, command))
    return "\n".join(parts)


def every() -> dict[str, Any]:
    """Return all commands by the words that are typed, such as "keys add"."""
    found: dict[str, Any] = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        within = getattr(command, "commands", None)
        for inner, one in within.items() if within else ():
            one.rich_help_panel = command.rich_help_panel
            found[f"{name} {inner}"] = one
        if not within:
            found[name] = command
    return found


def _panels(found: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(command.rich_help_panel for command in found.values()))


def _panel(found: dict[str, Any], name: str) -> int:
    return _panels(found).index(found[name].rich_help_panel)


def _told(name: str, command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option" and "--help" not in param.opts]
    words = [word if param.required else f"[{word}]" for param in arguments for word in [_metavar(param)]]
    usage = " ".join(["python -m visnet", name, *words, *(["[OPTIONS]"] if options else [])])
    rows = [(code(_metavar(param)), "", "", text(param.help or "")) for param in arguments]
    rows += [(_opts(param), text(_type(param)), _default(param), text(param.help or "")) for param in options]
    parts = [f"### {name}\n", f"```text\n{usage}\n```\n", f"{paragraphs(command.help or '')}\n"]
    return "\n".join([*parts, table(("argument or option", "value", "default", "what it is"), rows)])


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _opts(param: Any) -> str:
    return ", ".join(code(name) for name in (*param.opts, *param.secondary_opts))


def _type(param: Any) -> str:
    if param.is_flag:
        return ""
    if param.metavar:
        return code(param.metavar)
    annotation = param.type_descriptor.annotation
    if get_origin(annotation) is not None:
        choices = [choice for choice in get_args(annotation) if isinstance(choice, str)]
        return " or ".join(code(choice) for choice in choices) or "text"
    least = f" from {param.min:,}" if param.min is not None else ""
    most = f" to {param.max:,}" if param.max is not None else ""
    return f"{WORDS.get(annotation, getattr(annotation, '__name__', ''))}{least}{most}"


def _default(param: Any) -> str:
    if param.is_flag or param.required or param.default is None or callable(param.default):
        return ""
    value = param.default
    return code(" ".join(str(part) for part in value) if isinstance(value, tuple) else value)
