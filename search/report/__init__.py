"""A study as Markdown: columns, table and page. Reads the storage alone, and imports neither ray nor torch."""

from search.verb import callable_too

callable_too(__name__)
