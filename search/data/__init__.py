"""Images: where they come from (datasets) and how they are kept (cache)."""
