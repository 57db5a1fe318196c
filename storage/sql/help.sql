-- What there is to ask: FROM help.

CREATE OR REPLACE VIEW help AS
WITH relations AS (
    SELECT view_name AS name, 'view' AS kind, comment FROM duckdb_views() WHERE NOT internal
    UNION ALL SELECT table_name, 'table', comment FROM duckdb_tables() WHERE NOT internal
), things AS (
    SELECT name, kind, 0 AS place, NULL AS column_name, NULL AS type, comment AS about FROM relations
    UNION ALL
    SELECT c.table_name, r.kind, c.column_index, c.column_name, c.data_type, c.comment
    FROM duckdb_columns() c JOIN relations r ON r.name = c.table_name WHERE NOT c.internal
    UNION ALL
    SELECT
        function_name || '(' || array_to_string(parameters, ', ') || ')', replace(function_type, '_', ' '), 0, NULL, NULL,
        comment
    FROM duckdb_functions() WHERE NOT internal AND function_type IN ('macro', 'table_macro')
)
SELECT name, kind, column_name, type, about FROM things
ORDER BY list_position(['view', 'table', 'table macro', 'macro'], kind), name, place;
COMMENT ON VIEW help IS
    'What there is to ask: every table, view and macro, and every column, in words. FROM help WHERE column_name IS NULL lists the former, FROM help WHERE name = ''success'' explains one';
COMMENT ON COLUMN help.name IS 'Table, view or macro';
COMMENT ON COLUMN help.kind IS 'table, view, macro (an expression) or table macro (FROM it)';
COMMENT ON COLUMN help.column_name IS 'The column that the row is about; NULL where it is about the whole';
COMMENT ON COLUMN help.type IS 'Type of the column';
COMMENT ON COLUMN help.about IS 'What it is';
