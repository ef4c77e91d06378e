"""A filter in the words of LanceDB."""

from sensorium.search.where import Compare, Not, Some, Value, Where


def sql(where: Where) -> str:
    """A filter as DataFusion reads it: names of columns are plain by `store.checked`, texts have their quotes doubled."""
    if isinstance(where, Compare):
        there = f"{where.name} IS NOT NULL"
        if where.op == "known":
            return f"({there})"
        values = where.value if isinstance(where.value, tuple) else (where.value,)
        # A literal is made one of the column's type, and a broken number is no whole one.
        broken = any(isinstance(value, float) and not value.is_integer() for value in values)
        name = f"CAST({where.name} AS DOUBLE)" if broken else where.name
        literals = ", ".join(_literal(value) for value in values if value is not None)
        if where.op == "in":
            return f"({there} AND {name} IN ({literals}))" if literals else "false"
        return f"({there} AND {name} {where.op} {literals})"
    if isinstance(where, Not):
        return f"(NOT {sql(where.part)})"
    if not where.parts:
        return "false" if isinstance(where, Some) else "true"
    return "(" + (" OR " if isinstance(where, Some) else " AND ").join(map(sql, where.parts)) + ")"


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(int(value)) if float(value).is_integer() and abs(value) < 2**53 else repr(float(value))
