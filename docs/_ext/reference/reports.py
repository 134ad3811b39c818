"""Every key of the stages' reports, read from the code that returns them; nothing is run."""

import ast
import dataclasses
import importlib
import inspect
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from reference.markdown import code, paragraphs, table, text
from visnet.evaluation.verdict import Verdict
from visnet.pipeline import stage as stages

ROOT = Path(__file__).resolve().parents[3]
ANY = "NAME"  # a key of which nothing is known
PLAIN = (ast.Tuple, ast.List, ast.Name, ast.Constant, ast.Subscript, ast.Slice, ast.Attribute, ast.UnaryOp)
PLAIN += (ast.unaryop, ast.expr_context)
INTRODUCTION = """# Reports

A stage that has run leaves `reports/STAGE.json`, flat, which git keeps and DVC, MLflow and Dagster read. Keys that
people compare also stand in `reports/metrics/STAGE.json`, for `dvc metrics`. A key `X` beside `X_max` or `X_min` is
a gate, where dvc.yaml says so. A part in capitals stands for what differs from run to run, such as a split's name
or a sampler's. This page is read from the code that makes the reports; keys that only a run can name are said to be
"more".

Every report also has `wall_s`, the seconds that the stage took; those of stages that train, and of `evaluation`,
have `mlflow_run_id` and `mlflow_page`, where MLflow knew of the run; `evaluation` has its verdict: VERDICT; and
`publish` its limits, each beside what was measured: LIMITS.
"""


def page() -> str:
    """Return the page of reports, stage by stage."""
    line = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    verdict = [field.name for field in dataclasses.fields(Verdict) if field.name not in ("model", "why")]
    told = INTRODUCTION.replace("VERDICT", ", ".join(code(name) for name in (*verdict, "verdict")))
    limits = [name for name in stages.module("publish").Params.model_fields if name.endswith("_max")]
    told = told.replace("LIMITS", ", ".join(code(name) for name in limits))
    return "\n".join([told, *(_told(stage, line[stage]) for stage in stages.STAGES)])


def keys(stage: str) -> tuple[list[str], list[str]]:
    """Return the keys of a stage's report, and the expressions whose keys only a run can name."""
    module = stages.module(stage)
    reader = _Reader()
    found = dict.fromkeys(reader.of_function(module, module.build))
    return [key for key in found if key != ANY], list(dict.fromkeys(reader.more))


def _told(stage: str, row: dict[str, Any]) -> str:
    module = stages.module(stage)
    found, more = keys(stage)
    gates, compared, tracked = (
        row.get("meta", {}).get("gates", {}),
        *(getattr(module, n, ()) for n in ("METRICS", "TRACKED")),
    )
    found += [key for gate in gates for key in _gated(gate, gates[gate]) if key not in found]
    found += [key for key in (*compared, *tracked) if key not in found]
    rows = []
    for key in found:
        said = ["compared by `dvc metrics`"] * (key in compared) + ["a figure of the MLflow run"] * (key in tracked)
        if key in gates:
            said.append(f"gate: {text(gates[key] if isinstance(gates[key], str) else next(iter(gates[key].values())))}")
        rows += [(code(key), "; ".join(said))] if said else []
    parts = [f"## {stage}\n", f"{text(row['desc'])}. {paragraphs(inspect.getdoc(module.build) or '')}\n"]
    parts.append(f"Keys: {', '.join(code(key) for key in found)}.\n")
    parts += [f"More, of {', '.join(code(one) for one in more)}.\n"] if more else []
    return "\n".join([*parts, table(("key", "what reads it"), rows)])


def _gated(gate: str, limits: object) -> list[str]:
    """Return the keys of a gate: its value, and the limits that it has."""
    return [gate, *(f"{gate}_{end}" for end in (limits if isinstance(limits, dict) else ()))]


MAKING = (ast.Dict, ast.BinOp, ast.Call, ast.DictComp, ast.Subscript)
Loops = dict[str, ast.expr]  # what each name of a loop runs over


class _Reader:
    """Reads the keys of the dictionaries that a function returns, through the functions whose results they take in."""

    def __init__(self) -> None:
        self.more: list[str] = []
        self._seen: set[str] = set()

    def of_function(self, module: ModuleType, function: Any, part: int | None = None) -> Iterator[str]:
        """Give the keys of what a function returns, or of one part of that."""
        name = f"{module.__name__}.{function.__qualname__}"
        if name in self._seen:
            return
        self._seen.add(name)
        tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function)))
        local = _Local(module, tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and part is not None:
                yield from self.of_value(local, node.value.elts[part])
            elif isinstance(node, ast.Return) and node.value is not None:
                yield from self.of_value(local, node.value)

    def of_value(self, local: "_Local", node: ast.expr, loops: Loops | None = None) -> Iterator[str]:
        """Give the keys of a dictionary that an expression makes within some loops."""
        loops = loops or {}
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                yield from self.of_value(local, value, loops) if key is None else local.texts(key, loops)
        elif isinstance(node, ast.DictComp):
            over = node.generators[0].iter
            if (names := list(local.texts(node.key, {**loops, **_loops(node.generators)}))) != [ANY]:
                yield from names
            elif isinstance(over, ast.Call) and isinstance(over.func, ast.Attribute) and over.func.attr == "items":
                yield from self.of_value(local, over.func.value, loops)
            else:
                self._unknown(over)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            yield from self.of_value(local, node.left, loops)
            yield from self.of_value(local, node.right, loops)
        elif isinstance(node, ast.Name) and node.id in local.made:
            for value, around in local.made.pop(node.id):
                is_key = isinstance(value, ast.Constant | ast.JoinedStr | ast.Name)
                yield from local.texts(value, around) if is_key else self.of_value(local, value, around)
        elif isinstance(node, ast.Call):
            yield from self._of_call(local, node, loops)
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Call):
            there = local.named(ast.unparse(node.value.func))
            if inspect.isfunction(there) and isinstance(node.slice, ast.Constant):
                yield from self.of_function(importlib.import_module(there.__module__), there, node.slice.value)
        else:
            self._unknown(node)

    def _of_call(self, local: "_Local", node: ast.Call, loops: Loops) -> Iterator[str]:
        called, first = ast.unparse(node.func), node.args[0] if node.args else node
        if called == "dict" and isinstance(first, ast.Call) and ast.unparse(first.func) == "zip":
            called, first = "dict.fromkeys", first.args[0]
        if called == "dict.fromkeys" and isinstance(first, ast.GeneratorExp):
            yield from local.texts(first.elt, {**loops, **_loops(first.generators)})
        elif called == "dict.fromkeys":
            yield from local.texts(ast.Name("each"), {"each": first})
        elif inspect.isfunction(there := local.named(called)):
            yield from self.of_function(importlib.import_module(there.__module__), there)
        else:
            self._unknown(node)

    def _unknown(self, node: ast.expr) -> None:
        if not isinstance(node, ast.Name | ast.Constant):
            self.more.append(ast.unparse(node))


class _Local:
    """What names mean within a function: dictionaries that it makes step by step, loops, imports, its module."""

    def __init__(self, module: ModuleType, tree: ast.AST) -> None:
        self.module = module
        self.made: dict[str, list[tuple[ast.expr, Loops]]] = {}
        self.imports: dict[str, str] = {}
        self._read(tree, {})

    def _read(self, node: ast.AST, loops: Loops) -> None:
        """Note what is made in a part of a function, within the loops around it."""
        if isinstance(node, ast.ImportFrom):
            self.imports |= {alias.asname or alias.name: f"{node.module}:{alias.name}" for alias in node.names}
        elif isinstance(node, ast.For):
            loops = {**loops, **_loops([node])}
        elif isinstance(node, ast.AnnAssign | ast.AugAssign) and isinstance(node.target, ast.Name) and node.value:
            self.made.setdefault(node.target.id, []).append((node.value, loops))
        elif isinstance(node, ast.Assign):
            self._assigned(node.targets[0], node.value, loops)
        for part in ast.iter_child_nodes(node):
            self._read(part, loops)

    def _assigned(self, target: ast.expr, value: ast.expr, loops: Loops) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Call):
            for at, one in enumerate(target.elts):
                self._assigned(one, ast.Subscript(value, ast.Constant(at)), loops)
        elif isinstance(target, ast.Tuple):
            for one, part in zip(
                target.elts, value.elts if isinstance(value, ast.Tuple) else [value] * 9, strict=False
            ):
                self._assigned(one, part, loops)
        elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            self.made.setdefault(target.value.id, []).append((target.slice, loops))
        elif isinstance(target, ast.Name) and isinstance(value, MAKING):
            self.made.setdefault(target.id, []).append((value, loops))

    def named(self, name: str) -> object:
        """Return what a dotted name means, None where that is known to no module."""
        first, *rest = name.split(".")
        if first in self.imports:
            owner, _, attribute = self.imports[first].partition(":")
            there: object = getattr(importlib.import_module(owner), attribute, None)
        else:
            there = getattr(self.module, first, None)
        for part in rest:
            there = getattr(there, part, None)
        return there

    def texts(self, node: ast.expr, over: Loops) -> Iterator[str]:
        """Give the texts that a key can be; a part that only a run knows stands in capitals."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [self._part(part, over) for part in node.values]
            yield from ("".join(chosen) for chosen in itertools.product(*parts))
        elif isinstance(node, ast.Name):
            yield from self._values(node.id, over)

    def _part(self, part: ast.expr, over: Loops) -> list[str]:
        if isinstance(part, ast.Constant):
            return [str(part.value)]
        inner = part.value if isinstance(part, ast.FormattedValue) else part
        if isinstance(inner, ast.Name):
            return self._values(inner.id, over)
        word = next((one.id for one in ast.walk(inner) if isinstance(one, ast.Name) and one.id in over), "")
        if word and isinstance(inner, ast.Call) and inspect.isfunction(there := self.named(ast.unparse(inner.func))):
            values = self._values(word, over)
            return list(dict.fromkeys(there(one) for one in values)) if values != [word.upper()] else values
        return [_capitals(inner)]

    def _values(self, name: str, over: Loops) -> list[str]:
        source = over.get(name)
        if isinstance(source, ast.BinOp):  # what two sets have in common is of the first
            source = source.left
        there: object = self.named(name) if source is None else None
        if source is not None and all(isinstance(node, PLAIN) for node in ast.walk(source)):
            names = {node.id: self.named(node.id) for node in ast.walk(source) if isinstance(node, ast.Name)}
            there = None if None in names.values() else eval(compile(ast.Expression(source), "", "eval"), names)
        found = [str(one) for one in there] if isinstance(there, tuple | list | set | frozenset) else []
        return (sorted(found) if isinstance(there, set | frozenset) else found) or [name.upper()]


def _loops(generators: Sequence[ast.comprehension | ast.For]) -> Loops:
    """Return what each name of a loop runs over."""
    found: Loops = {}
    for part in generators:
        several = part.iter.args if isinstance(part.iter, ast.Call) and ast.unparse(part.iter.func) == "zip" else []
        if isinstance(part.target, ast.Tuple) and several:
            found |= {ast.unparse(name): over for name, over in zip(part.target.elts, several, strict=False)}
        else:
            found[ast.unparse(part.target)] = part.iter
    return found


def _capitals(node: ast.expr) -> str:
    names = [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and not one.id.startswith("_")]
    return names[-1].upper() if names else ANY
