"""A user's own pictures: what lies in a folder, a table or an archive, and how it is read."""
