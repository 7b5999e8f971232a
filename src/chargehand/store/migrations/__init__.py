"""The schema's history; `versions/` holds one file a change, oldest first."""
