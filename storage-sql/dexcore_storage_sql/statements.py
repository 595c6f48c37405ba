"""The statements of each table, written once.

Everything here is made of our own names; values travel as parameters.  The dialect
spells it.
"""

# ruff: noqa: S608

from __future__ import annotations

from functools import cached_property
from typing import Any

from .ddl import Dialect, quoted
from .tables import Table


class Statements:
    """SQL over one table.  Parameters: the row's values, then the key's."""

    def __init__(self, table: Table[Any], dialect: Dialect) -> None:
        self.dialect = dialect
        self._table = quoted(table.name)
        self._names = [quoted(column.name) for column in table.columns]
        self._keys = [quoted(name) for name in table.kind.key] or [quoted("id")]
        self._only = table.only
        self._expiry = [quoted(name) for name in table.kind.expiry]
        self._updates: dict[tuple[int, ...], str] = {}

    @cached_property
    def insert(self) -> str:
        """Insert a row unless its key is there."""
        names, values = list(self._names), ["?"] * len(self._names)
        if self._only:
            names.append('"id"')
            values.append(f"'{self._only}'")
        return self._spell(
            f"INSERT INTO {self._table} ({', '.join(names)})"
            f" VALUES ({', '.join(values)}){self.dialect.unless_there}"
        )

    @cached_property
    def select(self) -> str:
        """Read the row of a key."""
        return self._spell(f"{self._select} WHERE {self._where}")

    @cached_property
    def lock(self) -> str:
        """Read the row of a key, and keep others from writing it."""
        return self._spell(f"{self._select} WHERE {self._where}{self.dialect.lock}")

    @cached_property
    def take(self) -> str:
        """Remove the row of a key and return it."""
        return self._spell(f"{self._delete} RETURNING {', '.join(self._names)}")

    @cached_property
    def delete(self) -> str:
        """Remove the row of a key."""
        return self._spell(self._delete)

    @cached_property
    def first_page(self) -> str:
        """Read rows in the order of their keys; the parameter is how many."""
        return self._spell(f"{self._select} ORDER BY {self._ordered} LIMIT ?")

    @cached_property
    def next_page(self) -> str:
        """Read rows after a key; the last parameter is how many."""
        keys, marks = self._ordered, ", ".join("?" * len(self._keys))
        return self._spell(
            f"{self._select} WHERE ({keys}) > ({marks}) ORDER BY {keys} LIMIT ?"
        )

    def matching(self, names: tuple[str, ...]) -> str:
        """Read the rows in which these columns have the values of the parameters."""
        where = " AND ".join(f"{quoted(name)} = ?" for name in names)
        return self._spell(f"{self._select} WHERE {where} ORDER BY {self._ordered}")

    @cached_property
    def sweep(self) -> str:
        """Remove rows that expired before a time; the last parameter is how many.

        Each condition has its own index, hence no ``OR`` outside the inner query.
        """
        keys = ", ".join(self._keys)
        expired = " OR ".join(f"{name} < ?" for name in self._expiry)
        if not self.dialect.inner_limit:
            return self._spell(f"DELETE FROM {self._table} WHERE {expired} LIMIT ?")
        return self._spell(
            f"DELETE FROM {self._table} WHERE ({keys}) IN"
            f" (SELECT {keys} FROM {self._table} WHERE {expired}"
            f" LIMIT ?{self.dialect.skip})"
        )

    def update(self, places: tuple[int, ...]) -> str:
        """Return the statement that sets the columns at *places* of a key's row."""
        text = self._updates.get(places)
        if text is None:
            sets = ", ".join(f"{self._names[place]} = ?" for place in places)
            text = self._spell(f"UPDATE {self._table} SET {sets} WHERE {self._where}")
            self._updates[places] = text
        return text

    def _spell(self, text: str) -> str:
        return self.dialect.spell(text)

    @property
    def _select(self) -> str:
        return f"SELECT {', '.join(self._names)} FROM {self._table}"

    @property
    def _delete(self) -> str:
        return f"DELETE FROM {self._table} WHERE {self._where}"

    @property
    def _ordered(self) -> str:
        return ", ".join(f"{key}{self.dialect.by_key}" for key in self._keys)

    @property
    def _where(self) -> str:
        if self._only:
            return f"\"id\" = '{self._only}'"
        return " AND ".join(f"{key} = ?" for key in self._keys)


class Own:
    """SQL over ``dexcore_record``; parameters in the order kind, key, the rest."""

    _ONE = '"kind" = ? AND "key" = ?'

    def __init__(self, dialect: Dialect) -> None:
        spell = dialect.spell
        select = 'SELECT "data" FROM "dexcore_record" WHERE'
        self.insert = spell(
            'INSERT INTO "dexcore_record" ("kind", "key", "data", "expiry")'
            f" VALUES (?, ?, ?, ?){dialect.unless_there}"
        )
        self.select = spell(f"{select} {self._ONE}")
        self.lock = spell(f"{select} {self._ONE}{dialect.lock}")
        self.update = spell(
            f'UPDATE "dexcore_record" SET "data" = ?, "expiry" = ? WHERE {self._ONE}'
        )
        self.delete = spell(f'DELETE FROM "dexcore_record" WHERE {self._ONE}')
        self.take = spell(
            f'DELETE FROM "dexcore_record" WHERE {self._ONE} RETURNING "data"'
        )
        self.first_page = spell(f'{select} "kind" = ? ORDER BY "key" LIMIT ?')
        self.next_page = spell(
            f'{select} "kind" = ? AND "key" > ? ORDER BY "key" LIMIT ?'
        )
        expired = '"kind" = ? AND "expiry" < ?'
        self.sweep = spell(
            'DELETE FROM "dexcore_record" WHERE ("kind", "key") IN'
            f' (SELECT "kind", "key" FROM "dexcore_record" WHERE {expired}'
            f" LIMIT ?{dialect.skip})"
            if dialect.inner_limit
            else f'DELETE FROM "dexcore_record" WHERE {expired} LIMIT ?'
        )
