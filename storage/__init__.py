"""The trajectory store: records, immutable Parquet shards, and the published DuckDB file."""
