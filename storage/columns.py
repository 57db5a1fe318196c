"""Columns of a record: Arrow types in the shards, SQL types in the store."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Literal, TypeVar, Union, get_args, get_origin

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from storage.faults import StorageFault
from storage.records import RECORDS, Record

R = TypeVar("R", bound=Record)
RECORD_OF_TABLE: dict[str, type[Record]] = {record.table: record for record in RECORDS}

_SCALARS: dict[object, tuple[pa.DataType, str]] = {
    str: (pa.string(), "VARCHAR"),
    int: (pa.int64(), "BIGINT"),
    float: (pa.float64(), "DOUBLE"),
    bool: (pa.bool_(), "BOOLEAN"),
}


def column_type(annotation: object) -> tuple[pa.DataType, str, bool]:
    """(Arrow type, SQL type, nullable) of a field's annotation."""
    if get_origin(annotation) in (Union, UnionType):
        (inner,) = (part for part in get_args(annotation) if part is not NoneType)
        arrow, sql, _ = column_type(inner)
        return arrow, sql, True
    if get_origin(annotation) is Literal:
        return pa.string(), "VARCHAR", False
    if get_origin(annotation) is list:
        arrow, sql, _ = column_type(get_args(annotation)[0])
        return pa.list_(arrow), f"{sql}[]", False
    arrow, sql = _SCALARS[annotation]
    return arrow, sql, False


def arrow_schema(record: type[Record]) -> pa.Schema:
    """The columns of a record's shards, in field order."""
    fields = []
    for name, field in record.model_fields.items():
        arrow, _, nullable = column_type(field.annotation)
        fields.append(pa.field(name, arrow, nullable))
    return pa.schema(fields)


def sql_columns(record: type[Record]) -> str:
    """The columns of a record as in CREATE TABLE, without constraints."""
    return ", ".join(
        f"{name} {column_type(field.annotation)[1]}" for name, field in record.model_fields.items()
    )


def to_parquet(record: type[Record], rows: Sequence[Record]) -> bytes:
    """Rows as the bytes of a Parquet file. Equal rows give equal bytes. Raises StorageFault as `to_arrow` does."""
    sink = pa.BufferOutputStream()
    pq.write_table(to_arrow(record, rows), sink, compression="zstd", write_statistics=False)
    return sink.getvalue().to_pybytes()


def from_parquet(record: type[R], data: bytes) -> list[R]:
    """The rows in the bytes of a Parquet file. Raises ValueError where they hold none, or none of this kind."""
    try:
        return [record.model_validate(row) for row in pq.read_table(pa.BufferReader(data)).to_pylist()]
    except (OSError, pa.ArrowException, ValidationError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def to_arrow(record: type[Record], rows: Sequence[Record]) -> pa.Table:
    """Rows in the given order. Raises StorageFault with the name of a field whose value does not fit its column."""
    columns = []
    schema = arrow_schema(record)
    for field in schema:
        try:
            columns.append(pa.array([getattr(row, field.name) for row in rows], field.type))
        except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
            raise StorageFault(
                f"{record.table}.{field.name} holds a value that its column cannot store: {error}"
            ) from error
    return pa.table(columns, schema=schema)
