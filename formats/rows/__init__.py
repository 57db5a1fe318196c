"""Rows of an export, streamed from the published store in the order of their ids, in flat memory."""
