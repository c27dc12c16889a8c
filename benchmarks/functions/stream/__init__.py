"""Answers of many items that are made while they are sent, as NDJSON. For `stream`.

/api/items/{count}/{pause_us}; /api/items-sync/... from a generator that is not async. An item says when it was made.
"""
