"""What was verified stays as it was: records of the ceremony and of release cannot be changed."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import ceremony
import keymanagement
from ceremony.messages import EventStep, Notice
from ceremony.reasons import Reason
from ceremony.stages import Stage


def classes() -> Iterator[type[Any]]:
    """Every class that a module of the two packages defines."""
    for package in (ceremony, keymanagement):
        for found in pkgutil.iter_modules(package.__path__):
            module: ModuleType = importlib.import_module(f"{package.__name__}.{found.name}")
            for one in vars(module).values():
                if isinstance(one, type) and one.__module__ == module.__name__:
                    yield one


RECORDS = [one for one in classes() if is_dataclass(one)]
MODELS = [one for one in classes() if issubclass(one, BaseModel)]


def test_what_only_has_members_is_a_record() -> None:
    """A class that declares members and makes nothing of them itself is a record or a message."""
    bare = [
        one
        for one in classes()
        if vars(one).get("__annotations__")
        and "__init__" not in vars(one)
        and "__dataclass_params__" not in vars(one)
        and not issubclass(one, BaseModel | tuple | Exception)
        and not getattr(one, "_is_protocol", False)
    ]
    assert not bare


@pytest.mark.parametrize("record", RECORDS, ids=lambda one: one.__name__)
def test_a_record_cannot_be_changed(record: type[Any]) -> None:
    """No field of a record takes another value after the check that it went through."""
    made = object.__new__(record)
    for field in fields(record):
        with pytest.raises(FrozenInstanceError):
            setattr(made, field.name, None)


@pytest.mark.parametrize("model", MODELS, ids=lambda one: one.__name__)
def test_a_message_cannot_be_changed(model: type[BaseModel]) -> None:
    """Nor does a field of a payload, an entry, a message or a state."""
    made = model.model_construct()
    for name in model.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(made, name, None)


@pytest.mark.parametrize("model", MODELS, ids=lambda one: one.__name__)
def test_a_message_holds_nothing_unknown(model: type[BaseModel]) -> None:
    """An unknown member is refused: what nobody reads must not be signed, stored or sent."""
    with pytest.raises(ValidationError) as refusal:
        model.model_validate({"surprise": 1})
    assert "extra_forbidden" in {error["type"] for error in refusal.value.errors()}


@pytest.mark.parametrize("event", ["deadline", "registry"])
def test_an_event_is_a_deadline_or_the_registry(event: str) -> None:
    """These two move a request without a statement, and nothing else does."""
    errors = _wrong_members(EventStep, {"event": event})
    assert ("event",) not in errors
    assert ("event",) in _wrong_members(EventStep, {"event": "approved"})


@pytest.mark.parametrize("event", ["review", "approved", "ended"])
def test_an_administrator_is_told_of_three_events(event: str) -> None:
    """A review that waits, an approval, an end."""
    assert ("event",) not in _wrong_members(Notice, {"event": event})
    assert ("event",) in _wrong_members(Notice, {"event": "loaded"})


def _wrong_members(model: type[BaseModel], members: dict[str, object]) -> set[tuple[Any, ...]]:
    with pytest.raises(ValidationError) as refusal:
        model.model_validate(members)
    return {error["loc"] for error in refusal.value.errors()}


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.name)
def test_a_reason_code_is_its_name(reason: Reason) -> None:
    """Alarms and auditors search for the code: kebab-case, and the name that the code uses."""
    assert reason.value == reason.name.lower().replace("_", "-")
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", reason.value)


@pytest.mark.parametrize("stage", list(Stage), ids=lambda stage: stage.name)
def test_a_stage_is_called_as_in_the_design(stage: Stage) -> None:
    """The stage in URLs, projections and search attributes is the word of the design."""
    assert stage.value == stage.name
