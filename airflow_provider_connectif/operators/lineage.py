"""The OpenLineage facets of an operator: the tables of its query, and the things that it writes.

They contain names of tables, connections and properties, and counts. They contain no SQL text, since it may have a
person's value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.assets import dataset_names, delivered

if TYPE_CHECKING:
    from airflow_provider_connectif.operators.sync_arguments import SyncArguments


def lineage(
    operator: SyncArguments,
    fields: Iterable[tuple[str, str]] = (),
    summary: Mapping[str, Any] | None = None,
    removals: int = 0,
) -> Any:
    """Return the lineage of a task.

    :param fields: the id and the type of each property that is written.
    :param summary: the run's summary; ``None``: the run has not ended.
    :param removals: the number of contacts that left the source and were changed or deleted.
    :return: an ``OperatorLineage``; ``None``: the OpenLineage provider is not installed.
    """
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None
    written = None if summary is None else delivered(summary) + removals
    return OperatorLineage(inputs=_source_tables(operator), outputs=[_output(operator, list(fields), written)])


def _output(operator: SyncArguments, fields: list[tuple[str, str]], written: int | None) -> Any:
    from airflow.providers.common.compat.openlineage.facet import (
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
        SchemaDatasetFacet,
        SchemaDatasetFacetFields,
    )

    namespace, name = dataset_names(str(operator.connectif_conn_id), operator.make_resource().dataset)
    facets, statistics = {}, {}
    if fields:
        named = [SchemaDatasetFacetFields(name=property_id, type=kind or None) for property_id, kind in fields]
        facets["schema"] = SchemaDatasetFacet(fields=named)
    if written is not None:
        statistics["outputStatistics"] = OutputStatisticsOutputDatasetFacet(rowCount=written)
    return OutputDataset(namespace=namespace, name=name, facets=facets, outputFacets=statistics)


def _source_tables(operator: SyncArguments) -> list[Any]:
    """Return the tables that the query reads; empty: they are not known.

    They are parsed from the text of the query. Only the default schema is read from the database.
    """
    if not isinstance(operator.sql, str) or not operator.sql.strip():
        return []
    try:
        from airflow.providers.openlineage.sqlparser import SQLParser
    except ImportError:
        return []
    from airflow_provider_connectif.databases.hooks import sql_hook
    from airflow_provider_connectif.operators.lineage_statements import statements_of

    try:
        hook = sql_hook(str(operator.sql_conn_id), operator.hook_params)
        connection = hook.get_connection(str(operator.sql_conn_id))
        database = hook.get_openlineage_database_info(connection)
        dialect = hook.get_openlineage_database_dialect(connection)
        if database is None:
            return []
        # PostgreSQL's hook asks the database, which may be down.
        parser = SQLParser(dialect=dialect, default_schema=hook.get_openlineage_default_schema())
        statements = statements_of(operator.sql, has_parameters=bool(operator.parameters))
        found = parser.generate_openlineage_metadata_from_sql(
            statements, hook=hook, database_info=database, use_connection=False
        )
    except Exception as error:  # noqa: BLE001 - a hook without lineage, or a failed connection; the target is known
        operator.log.debug("The tables of the source are not known: %s", type(error).__name__)
        return []
    return list(found.inputs)
