"""Hypothesis strategies: any fact of the catalogue with any values its fields allow."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo

Model = TypeVar("Model", bound=BaseModel)

TEXT = st.characters(exclude_characters="\x00", exclude_categories=["Cs"])
"""Every character that JSON and PostgreSQL can both carry."""

_MANY = 3
"""Longest collection; the limits themselves have tests of their own."""

_NAMED: dict[str, SearchStrategy[str]] = {
    "month": st.dates().map(lambda day: day.isoformat()[:7]),
    "code": st.text("0123456789", min_size=4, max_size=8),
}
"""Fields whose rule is a pattern."""


def facts(model: type[Model]) -> SearchStrategy[Model]:
    """Instances of `model`; a field with a default is sometimes left out."""
    required: dict[str, SearchStrategy[Any]] = {}
    optional: dict[str, SearchStrategy[Any]] = {}
    for name, field in model.model_fields.items():
        values = _NAMED[name] if name in _NAMED else _values(field.annotation, field.metadata)
        (required if field.is_required() else optional)[name] = values
    return st.fixed_dictionaries(required, optional=optional).map(lambda chosen: model(**chosen))


def moments() -> SearchStrategy[datetime]:
    """Points in time in the zones people live in, as far as UTC can express them."""
    clocks = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
    zones = st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))
    return st.builds(lambda clock, zone: clock.replace(tzinfo=zone), clocks, zones)


def _values(annotation: Any, rules: Sequence[Any]) -> SearchStrategy[Any]:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(inner[0], [*rules, *_flat(inner[1:])])
    if origin in (Union, UnionType):
        return st.one_of(*(_values(one, rules) for one in inner))
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple:
        return st.lists(_values(inner[0], ()), min_size=_limit(rules, MinLen) or 0, max_size=_MANY).map(tuple)
    if origin is frozenset:
        return st.frozensets(_values(inner[0], ()), min_size=_limit(rules, MinLen) or 0)
    if annotation is str:
        return st.text(TEXT, min_size=_limit(rules, MinLen) or 0, max_size=_limit(rules, MaxLen))
    if annotation is int:
        above = _limit(rules, Gt)
        return st.integers(_limit(rules, Ge) if above is None else above + 1, _limit(rules, Le))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return facts(annotation)
    plain: dict[Any, SearchStrategy[Any]] = {
        NoneType: st.none(),
        bool: st.booleans(),
        UUID: st.uuids(),
        date: st.dates(),
        AwareDatetime: moments(),
    }
    return plain[annotation]


def _flat(rules: Sequence[Any]) -> list[Any]:
    return [part for rule in rules for part in (rule.metadata if isinstance(rule, FieldInfo) else [rule])]


def _limit(rules: Sequence[Any], kind: type[Ge] | type[Gt] | type[Le] | type[MinLen] | type[MaxLen]) -> int | None:
    """The number in the rule of this kind, e.g. 64 in MaxLen(64)."""
    names = {Ge: "ge", Gt: "gt", Le: "le", MinLen: "min_length", MaxLen: "max_length"}
    return next((int(getattr(rule, names[kind])) for rule in rules if isinstance(rule, kind)), None)
