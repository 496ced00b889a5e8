"""Change tracking inside documents and lists: ``memory.tags.append("x")`` is saved.

SQLAlchemy notices a newly set attribute, but not a change inside its value. The dicts and lists of a document, list or
embedding column are therefore replaced, at every depth, by subclasses that notify the row. `sqlalchemy.ext.mutable`
does the same for one type at one depth, but a document is any JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from sqlalchemy import ClauseElement, event, inspect
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.attributes import flag_modified

from diwa_schema.models.types import Document, Embedding, TextArray, Timestamp, UniqueId
from diwa_schema.models.types.scalars import read_id
from diwa_schema.models.types.times import as_value


class _Noticing:
    """The common base of the tracking dict and list."""

    notice: Callable[[], None]

    def __reduce_ex__(self, _: Any) -> Any:
        """Copy and pickle the plain dict or list: the copy belongs to no row."""
        kind: Any = type(self).__bases__[1]
        return kind, (kind(self),)


def _telling(kind: type[Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the changing methods of a type, each with a notification."""

    def telling(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def change(self: Any, *arguments: Any, **options: Any) -> Any:
            result = method(self, *arguments, **options)
            _grow(self)
            self.notice()
            # No other method returns what it stores. What is stored is a copy, and only a change in the copy is saved.
            return self[arguments[0]] if name == "setdefault" else result

        return change

    return {name: telling(name, getattr(kind, name)) for name in names}


_ITEMS = ("__setitem__", "__delitem__", "clear", "pop")
_OF_DICT = (*_ITEMS, "__ior__", "popitem", "setdefault", "update")
_OF_LIST = (*_ITEMS, "__iadd__", "__imul__", "append", "extend", "insert", "remove", "reverse", "sort")
_Dict: Any = type("_Dict", (_Noticing, dict), _telling(dict, _OF_DICT))
_List: Any = type("_List", (_Noticing, list), _telling(list, _OF_LIST))


def _noticing(value: Any, notice: Callable[[], None]) -> Any:
    """Return a tracking copy of a dict or list; other values are returned unchanged."""
    if not isinstance(value, dict | list):
        return value
    copy = _copy(value, notice)
    _grow(copy, value)
    return copy


def _copy(value: Any, notice: Callable[[], None]) -> Any:
    copy: Any = _Dict(value) if isinstance(value, dict) else _List(value)
    copy.notice = notice
    return copy


class _Inside(NamedTuple):
    """A container whose parts are to be replaced, and what it is a copy of.

    Args:
        copy: The container.
        source: The original.
        around: The same of the container around it.
    """

    copy: Any
    source: Any
    around: _Inside | None

    def holds(self, value: Any) -> bool:
        """Return whether a value contains itself here."""
        at: _Inside | None = self
        while at is not None:
            if at.source is value:
                return True
            at = at.around
        return False


def _grow(container: Any, source: Any = None) -> None:
    """Replace the dicts and lists inside a container by tracking ones.

    A value that contains itself stays what it is: no document can be written of it, and the flush refuses it.
    """
    # Not recursive: a document may be deeper than Python's stack.
    rest = [_Inside(container, container if source is None else source, None)]
    while rest:
        inside = rest.pop()
        kind: Any = dict if isinstance(inside.copy, dict) else list
        held_kinds = set(map(type, inside.copy.values() if kind is dict else inside.copy))
        # An embedding has 1,536 numbers: looking at each of them would take longer than reading the row.
        if not any(issubclass(each, (dict, list)) for each in held_kinds):
            continue
        for key, held in list(inside.copy.items() if kind is dict else enumerate(inside.copy)):
            if not isinstance(held, dict | list) or getattr(held, "notice", None) is container.notice:
                continue
            if inside.holds(held):
                continue
            copy = _copy(held, container.notice)
            kind.__setitem__(inside.copy, key, copy)
            rest.append(_Inside(copy, held, inside))


class _Notice:
    """What the containers of a row's value call after a change."""

    __slots__ = ("key", "root", "state")

    def __init__(self, state: InstanceState[Any], key: str) -> None:
        self.state = state
        self.key = key
        self.root: Any = None

    def __call__(self) -> None:
        row = self.state.obj()
        # A value that has been replaced, or that will be loaded again, belongs to no row.
        if row is not None and self.state.dict.get(self.key) is self.root:
            flag_modified(row, self.key)


def _of_row(value: Any, state: InstanceState[Any], key: str) -> Any:
    notice = _Notice(state, key)
    notice.root = _noticing(value, notice)
    return notice.root


def _is_of(value: _Noticing, state: InstanceState[Any]) -> bool:
    notice: Any = value.notice
    return notice.state is state


def _tracked(mapper: Mapper[Any]) -> list[str]:
    """Return the attributes with values that change in place."""
    kinds = Document | TextArray | Embedding
    return [each.key for each in mapper.column_attrs if isinstance(each.columns[0].type, kinds)]


def _track(state: InstanceState[Any], keys: Iterable[str]) -> None:
    for key in keys:
        value = state.dict.get(key)
        if isinstance(value, dict | list) and not (isinstance(value, _Noticing) and _is_of(value, state)):
            state.dict[key] = _of_row(value, state, key)


def track_again(row: Any) -> None:
    """Track changes in the values of a row that was unpickled: a pickle holds plain ones."""
    _track(inspect(row), _tracked(inspect(type(row))))


def notice_changes(mapper: Mapper[Any], model: type[Any]) -> None:
    """Track changes inside all documents and lists of a model, and convert assigned ids and times of the server."""
    keys = _tracked(mapper)

    def read(state: InstanceState[Any], *_: Any) -> None:
        _track(state, keys)

    # The last one is what `sqlalchemy.ext.mutable` listens to: merge(load=False) copies the values of another row.
    for name in ("load", "refresh", "refresh_flush", "_sa_event_merge_wo_load") if keys else ():
        event.listen(model, name, read, raw=True)
    for key in keys:

        def given(state: InstanceState[Any], value: Any, *_: Any, key: str = key) -> Any:
            return _of_row(value, state, key)

        event.listen(getattr(model, key), "set", given, raw=True, retval=True)
    for each in mapper.column_attrs:
        if isinstance(kind := each.columns[0].type, Timestamp):

            def assigned(_: Any, value: Any, *__: Any, kind: Timestamp = kind) -> Any:
                return as_value(value, kind) if isinstance(value, ClauseElement) else value

            event.listen(getattr(model, each.key), "set", assigned, raw=True, retval=True)
        if isinstance(each.columns[0].type, UniqueId):
            event.listen(getattr(model, each.key), "set", _identified, raw=True, retval=True)


def _identified(_: Any, value: Any, *__: Any) -> Any:
    """Take a text as the id that it spells: a session knows a row by its id, and would know it twice."""
    return read_id(value)
