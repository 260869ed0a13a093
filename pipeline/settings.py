"""Every setting with its description: YAML to read, to change, and to give to `--preset`.

A setting is a field of a frozen dataclass; its description is the string literal below the field.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from goodsam.pipeline.config import as_yaml

WIDTH = 100  # columns of a line, at most


def describe(kind: type) -> dict[str, str]:
    """The description of each field of a dataclass and of those inside it, by dotted name.

    Fields come in the order of the source, a group before its own fields; a field without a
    description is left out.
    """
    own = _field_docstrings(kind)
    found = {}
    for field in dataclasses.fields(kind):
        if field.name in own:
            found[field.name] = own[field.name]
        if group := _group(field):
            inner = describe(group).items()
            found |= {f"{field.name}.{name}": sentence for name, sentence in inner}
    return found


def commented_yaml(config: Any) -> str:
    """All settings of a dataclass as YAML that `build` reads back, each with comments above it.

    The comments are the description, the choices where they are closed, and the default where the
    value is another.
    """
    values = yaml.safe_load(as_yaml(config))
    return "\n\n".join(_blocks(config, values, describe(type(config)))) + "\n"


def _blocks(
    config: Any, values: dict[str, Any], descriptions: dict[str, str], prefix: str = ""
) -> list[str]:
    """The lines of each setting; a group's own lines stand above those of its first setting."""
    hints = get_type_hints(type(config))
    indent = "  " * prefix.count(".")
    blocks = []
    for field in dataclasses.fields(config):
        name, value = field.name, getattr(config, field.name)
        above = _comment(descriptions.get(f"{prefix}{name}", ""), indent)
        if _group(field):
            first, *others = _blocks(value, values[name], descriptions, f"{prefix}{name}.")
            blocks += [f"{above}{indent}{name}:\n{first}", *others]
            continue
        facts = []
        if get_origin(hints[name]) is Literal:
            facts.append(f"One of: {', '.join(map(str, get_args(hints[name])))}.")
        default = _default(field)
        if default is not dataclasses.MISSING and default != value:
            facts.append(f"Default: {_written(default)}.")
        above += _comment(" ".join(facts), indent)
        blocks.append(f"{above}{indent}{name}: {_written(values[name])}")
    return blocks


def _comment(text: str, indent: str) -> str:
    start = f"{indent}# "
    lines = textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=start)
    return "".join(f"{line}\n" for line in lines)


def _written(value: Any) -> str:
    """A single value or a list in one line of YAML."""
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump([plain], default_flow_style=True, width=float("inf"))
    return text.strip()[1:-1]


def _default(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _group(field: dataclasses.Field) -> type | None:
    """The dataclass that a field holds, if it holds one."""
    made = field.default_factory
    return made if isinstance(made, type) and dataclasses.is_dataclass(made) else None


def _field_docstrings(kind: type) -> dict[str, str]:
    """The string literals directly below the fields of a class, each in one line."""
    (parsed,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(parsed, ast.ClassDef)
    found = {}
    for above, below in zip(parsed.body, parsed.body[1:], strict=False):
        match above, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
    return found
