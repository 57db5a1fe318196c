"""Expert runs that others have recorded, as files of one JSON object a line."""
