"""The customary mutation operators: what one node of a syntax tree may be replaced by.

They change comparisons, `and`/`or`, conditions (negated), arithmetic, numbers (one more and one
less), True and False, strings and bytes, return values, assigned values, statements (removed),
loops (never entered; break and continue swapped), exception handlers (catching less), keyword
arguments and elements of displays (removed), lambdas. Decorators are removed by
`bench.mutationsites`.

They leave alone: texts for people, that is strings inside a `raise`; `slots=True` and `__slots__`,
which only save memory; annotations but for the constraints and literals in them.
"""

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

Replacements = Iterator[tuple[str, ast.AST]]

_COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
_REMOVABLE: Final = (ast.Expr, ast.Raise, ast.AugAssign, ast.Delete, ast.Assert)


@dataclass(frozen=True, slots=True)
class Site:
    """Where an expression stands, as far as an operator must know.

    `path` are the nodes from its statement down to its parent.
    """

    path: tuple[ast.AST, ...] = ()
    in_function: bool = False
    annotation: bool = False
    condition: bool = False
    decorator: bool = False
    for_people: bool = False
    names: tuple[str, ...] = ()


def statement_replacements(node: Any, *, in_function: bool) -> Replacements:
    """What a statement or an exception handler may become, each under its operator's name."""
    if isinstance(node, _REMOVABLE) and not _is_ellipsis(node):
        yield "statement", ast.Pass()
    if isinstance(node, ast.Assign | ast.AnnAssign) and in_function:
        yield from _assignments(node)
    elif isinstance(node, ast.Return):
        yield from _returns(node)
    elif isinstance(node, ast.Break | ast.Continue):
        yield "loop", ast.Continue() if isinstance(node, ast.Break) else ast.Break()
    elif isinstance(node, ast.For):
        nothing = ast.copy_location(ast.Tuple(elts=[], ctx=ast.Load()), node.iter)
        yield "loop", _with(node, iter=nothing)
    elif isinstance(node, ast.ExceptHandler) and node.type is not None:
        yield from _handlers(node)


def _assignments(node: Any) -> Replacements:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    if not isinstance(target, ast.Name):
        yield "statement", ast.Pass()
    elif node.value is not None and not _is_none(node.value):
        yield "assignment", _with(node, value=_none(node.value))


def _returns(node: ast.Return) -> Replacements:
    if node.value is None:
        yield "statement", ast.Pass()
    elif not _is_none(node.value):
        yield "return", _with(node, value=_none(node.value))


def _handlers(node: Any) -> Replacements:
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    for index in range(len(caught)):
        fewer = ast.Tuple(elts=[*caught[:index], *caught[index + 1 :]], ctx=ast.Load())
        yield "handler", _with(node, type=ast.copy_location(fewer, node))


def expression_replacements(node: ast.AST, site: Site) -> Replacements:
    """What an expression may become, each under its operator's name."""
    if site.condition and not isinstance(node, ast.BoolOp) and not _has_opposite(node):
        negated = ast.UnaryOp(op=ast.Not(), operand=node)  # type: ignore[arg-type]
        yield "condition", ast.copy_location(negated, node)
    operator = _BY_TYPE.get(type(node))
    if operator is not None:
        yield from operator(node, site)


def _comparisons(node: Any, site: Site) -> Replacements:
    for index, found in enumerate(node.ops):
        for other in _COMPARISONS[type(found)]:
            changed = [other() if at == index else one for at, one in enumerate(node.ops)]
            yield "comparison", _with(node, ops=changed)


def _booleans(node: Any, site: Site) -> Replacements:
    yield "boolean", _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())


def _unaries(node: Any, site: Site) -> Replacements:
    yield "unary", node.operand


def _arithmetics(node: Any, site: Site) -> Replacements:
    if not (isinstance(node, ast.BinOp) and _joins_types(node)):
        yield "arithmetic", _with(node, op=_ARITHMETIC[type(node.op)]())


def _constants(node: Any, site: Site) -> Replacements:
    if "__slots__" not in site.names:
        for value in _other_values(node.value, site):
            yield "constant", ast.copy_location(ast.Constant(value), node)


def _other_values(value: object, site: Site) -> Iterator[Any]:
    if isinstance(value, bool):
        # In a decorator the keyword is removed already, which says the same.
        if not site.decorator:
            yield not value
    elif isinstance(value, int | float):
        yield value + 1
        yield value - 1
    elif isinstance(value, str | bytes) and not site.for_people:
        if site.annotation and not _constrains(site):
            return
        yield f"XX{value}XX" if isinstance(value, str) else b"XX" + value + b"XX"


def _lambdas(node: Any, site: Site) -> Replacements:
    if not _is_none(node.body):
        yield "return", _with(node, body=_none(node.body))


def _keywords(node: Any, site: Site) -> Replacements:
    for index, keyword in enumerate(node.keywords):
        if keyword.arg not in {None, "slots"}:
            fewer = [one for at, one in enumerate(node.keywords) if at != index]
            yield "keyword", _with(node, keywords=fewer)


def _dicts(node: Any, site: Site) -> Replacements:
    for index in range(len(node.keys)):
        keys = [*node.keys[:index], *node.keys[index + 1 :]]
        values = [*node.values[:index], *node.values[index + 1 :]]
        yield "element", _with(node, keys=keys, values=values)


def _collections(node: Any, site: Site) -> Replacements:
    if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        return
    for index in range(len(node.elts)):
        fewer = [*node.elts[:index], *node.elts[index + 1 :]]
        if isinstance(node, ast.Set) and not fewer:
            # A display without elements would be a dict.
            empty = ast.Call(func=ast.Name("set", ast.Load()), args=[], keywords=[])
            yield "element", ast.fix_missing_locations(ast.copy_location(empty, node))
        else:
            yield "element", _with(node, elts=fewer)


def _tuples(node: Any, site: Site) -> Replacements:
    # In functions tuples are records far more often than collections.
    indexing = bool(site.path) and isinstance(site.path[-1], ast.Subscript)
    if not (site.in_function or indexing or "__slots__" in site.names):
        yield from _collections(node, site)


_BY_TYPE: Final[dict[type[ast.AST], Callable[[Any, Site], Replacements]]] = {
    ast.AugAssign: _arithmetics,
    ast.BinOp: _arithmetics,
    ast.BoolOp: _booleans,
    ast.Call: _keywords,
    ast.Compare: _comparisons,
    ast.Constant: _constants,
    ast.Dict: _dicts,
    ast.Lambda: _lambdas,
    ast.List: _collections,
    ast.Set: _collections,
    ast.Tuple: _tuples,
    ast.UnaryOp: _unaries,
}


def _constrains(site: Site) -> bool:
    return any(
        isinstance(one, ast.Call)
        or (isinstance(one, ast.Subscript) and ast.unparse(one.value) == "Literal")
        for one in site.path
    )


def _with(node: Any, **changes: Any) -> Any:
    changed = copy.copy(node)
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed


def _none(where: ast.AST) -> ast.Constant:
    return ast.copy_location(ast.Constant(None), where)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_ellipsis(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _has_opposite(node: ast.AST) -> bool:
    # Its comparison, or its `not`, is mutated into the negation already.
    if isinstance(node, ast.Compare):
        return len(node.ops) == 1
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _joins_types(node: ast.BinOp) -> bool:
    def names_a_type(one: ast.expr) -> bool:
        if isinstance(one, ast.Subscript):
            return names_a_type(one.value)
        text = ast.unparse(one)
        return text in {"None", "str", "int", "bytes", "bool"} or (
            isinstance(one, ast.Name) and text[:1].isupper() and not text.isupper()
        )

    return isinstance(node.op, ast.BitOr) and (names_a_type(node.left) or names_a_type(node.right))
