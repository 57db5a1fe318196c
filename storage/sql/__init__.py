"""The SQL of the store: migrations, views and macros by theme, and what is written of them by code."""
