"""A study as Markdown: columns, table and page. Reads the storage alone, and imports neither ray nor torch."""
