"""The mutants of a module: each place in its syntax tree where an operator applies."""

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from bench.mutationoperators import Site, expression_replacements, statement_replacements

MODULE_LEVEL: Final = "module"
_TEXT_CHARS: Final = 110
_CONTEXT_CHARS: Final = 16
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_BODIES: Final = frozenset({"body", "orelse", "finalbody", "handlers"})


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of a module.

    `scope` is the qualified name of the function or class that it stands in, `module` outside of
    both; `before` and `after` are source text. `first_line` and `last_line` are those of the
    statement (of a compound statement, of its head). `names` are what the statement defines, if
    it stands outside of functions, innermost first.
    """

    scope: str
    operator: str
    before: str
    after: str
    first_line: int
    last_line: int
    in_function: bool
    names: tuple[str, ...]
    apply: Callable[[], Callable[[], None]]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the tree that it was found in changed for a while."""
        undo = self.apply()
        try:
            yield
        finally:
            undo()


class _Place(NamedTuple):
    """Where a node hangs: a member of its parent, or an item of it."""

    parent: ast.AST
    member: str
    at: int | None = None

    def put(self, node: Any) -> Callable[[], None]:
        if self.at is None:
            former = getattr(self.parent, self.member)
            setattr(self.parent, self.member, node)
            return lambda: setattr(self.parent, self.member, former)
        items: list[Any] = getattr(self.parent, self.member)
        index = self.at
        former = items[index]
        items[index] = node
        return lambda: items.__setitem__(index, former)


@dataclass(frozen=True, slots=True)
class _Context(Site):
    scope: tuple[str, ...] = ()
    statement: ast.AST = field(default_factory=ast.Pass)


def mutants_of(tree: ast.Module) -> list[Mutant]:
    """Find every mutant of a module; equal descriptions in one scope are numbered from 2."""
    seen: Counter[tuple[str, str, str]] = Counter()
    found: list[Mutant] = []
    for mutant in _body(tree, "body", _Context(statement=tree)):
        key = (mutant.scope, mutant.before, mutant.after)
        seen[key] += 1
        again = seen[key] > 1
        found.append(replace(mutant, after=f"{mutant.after} #{seen[key]}") if again else mutant)
    return found


def _body(owner: ast.AST, member: str, context: _Context) -> Iterator[Mutant]:
    for index, statement in enumerate(getattr(owner, member)):
        if _is_docstring(statement):
            continue
        yield from _statement(statement, _Place(owner, member, index), context)


def _statement(node: Any, place: _Place, outer: _Context) -> Iterator[Mutant]:
    if isinstance(node, ast.Import | ast.ImportFrom) or _only_for_types(node):
        return
    context = replace(outer, statement=node, path=())
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield from _definition(node, context)
        return
    if not context.in_function:
        context = replace(context, names=(*_targets(node), *context.names))
    yield from _statement_operators(node, place, context)
    for member, value in ast.iter_fields(node):
        if member in _BODIES and isinstance(value, list):
            yield from _body(node, member, outer)
        else:
            yield from _children(node, member, value, context)


def _definition(node: Any, context: _Context) -> Iterator[Mutant]:
    head = replace(
        context,
        scope=(*context.scope, node.name),
        names=() if context.in_function else (node.name, *context.names),
    )
    for index in range(len(node.decorator_list)):
        rest = [one for at, one in enumerate(node.decorator_list) if at != index]
        yield _mutant("decorator", node, _Place(node, "decorator_list"), rest, head)
    for member in ("decorator_list", "bases", "keywords"):
        yield from _children(node, member, getattr(node, member, []), head)
    if isinstance(node, _FUNCTIONS):
        for member in ("defaults", "kw_defaults"):
            yield from _children(node.args, member, getattr(node.args, member), head)
        head = replace(head, in_function=True)
    yield from _body(node, "body", head)


def _children(node: ast.AST, member: str, value: Any, context: _Context) -> Iterator[Mutant]:
    inner = replace(
        context,
        path=(*context.path, node),
        annotation=context.annotation or member == "annotation",
        condition=_is_condition(node, member),
        for_people=context.for_people or isinstance(node, ast.Raise),
        decorator=context.decorator or member == "decorator_list",
    )
    if isinstance(node, ast.AnnAssign) and member == "annotation" and context.in_function:
        return
    if isinstance(value, ast.AST):
        yield from _expression(value, _Place(node, member), inner)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            if isinstance(one, ast.AST):
                yield from _expression(one, _Place(node, member, index), inner)


def _expression(node: ast.AST, place: _Place, context: _Context) -> Iterator[Mutant]:
    for operator, new in expression_replacements(node, context):
        if not context.annotation or operator in {"constant", "keyword"}:
            yield _mutant(operator, node, place, new, context)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "TypeVar":
        return
    for member, value in ast.iter_fields(node):
        yield from _children(node, member, value, context)


def _statement_operators(node: Any, place: _Place, context: _Context) -> Iterator[Mutant]:
    for operator, new in statement_replacements(node, in_function=context.in_function):
        yield _mutant(operator, node, place, ast.copy_location(new, node), context)
    if isinstance(node, ast.AugAssign):
        for operator, new in expression_replacements(node, context):
            yield _mutant(operator, node, place, new, context)


def _mutant(operator: str, node: ast.AST, place: _Place, new: Any, context: _Context) -> Mutant:
    before, after = _change(operator, node, place, new, context)
    statement: Any = context.statement
    return Mutant(
        scope=".".join(context.scope) or MODULE_LEVEL,
        operator=operator,
        before=before,
        after=after,
        first_line=_first_line(statement),
        last_line=_last_head_line(statement),
        in_function=context.in_function,
        names=context.names,
        apply=lambda: place.put(new),
    )


def _change(
    operator: str, node: Any, place: _Place, new: Any, context: _Context
) -> tuple[str, str]:
    if operator == "keyword":
        gone = next(one for one in node.keywords if one not in new.keywords)
        name = _cut(_text(node.func))
        return f"{name}({_cut(_text(gone))})", f"{name}(…)"
    if operator == "element":
        # Of a dict the values tell one from another: a `**` has no key.
        kept = {
            id(one) for one in getattr(new, "values" if isinstance(new, ast.Dict) else "elts", ())
        }
        items = node.values if isinstance(node, ast.Dict) else node.elts
        place_of = next(at for at, one in enumerate(items) if id(one) not in kept)
        gone = (getattr(node, "keys", items)[place_of]) or items[place_of]
        opening, closing = _text(node)[0], _text(node)[-1]
        return f"{opening}…, {_cut(_text(gone))}, …{closing}", f"{opening}…{closing}"
    shown = _shown(node, context)
    before = _text(shown)
    undo = place.put(new)
    try:
        # The node itself is replaced in its parent, so it is shown by what stands there now.
        after = _text(new if shown is node and isinstance(new, ast.AST) else shown)
    finally:
        undo()
    return _cut(before), _cut(after)


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_CHARS else f"{text[: _TEXT_CHARS - 1]}…"


def _shown(node: ast.AST, context: _Context) -> ast.AST:
    """The smallest ancestor that tells where the node is, but no long one."""
    shown = node
    for ancestor in reversed(context.path):
        if isinstance(shown, ast.stmt) or len(_text(shown)) >= _CONTEXT_CHARS:
            break
        if len(_text(ancestor)) > _TEXT_CHARS:
            break
        shown = ancestor
    return shown


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.keyword):
        return f"{node.arg}={ast.unparse(node.value)}"
    if isinstance(node, ast.comprehension):
        return ast.unparse(ast.GeneratorExp(elt=ast.Name("…"), generators=[node]))
    if isinstance(node, ast.withitem):
        return ast.unparse(node)
    if isinstance(node, ast.stmt | ast.ExceptHandler) and hasattr(node, "body"):
        head: Any = copy.copy(node)
        head.body = [ast.Pass()]
        for member in ("orelse", "finalbody", "handlers"):
            if hasattr(head, member):
                setattr(head, member, [])
        return " ".join(ast.unparse(head).removesuffix("pass").split())
    return " ".join(ast.unparse(node).split())


def _first_line(statement: Any) -> int:
    decorators = getattr(statement, "decorator_list", [])
    first: int = decorators[0].lineno if decorators else getattr(statement, "lineno", 1)
    return first


def _last_head_line(statement: Any) -> int:
    body = getattr(statement, "body", None)
    if isinstance(body, list) and body:
        last: int = max(statement.lineno, body[0].lineno - 1)
        return last
    end: int = getattr(statement, "end_lineno", 1)
    return end


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _is_condition(node: ast.AST, member: str) -> bool:
    return (
        member == "test"
        or (isinstance(node, ast.comprehension) and member == "ifs")
        or (isinstance(node, ast.BoolOp) and member == "values")
    )


def _targets(node: Any) -> tuple[str, ...]:
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    return tuple(
        one.id
        for target in targets
        if target is not None
        for one in ast.walk(target)
        if isinstance(one, ast.Name)
    )
