"""One change of a database in production, in its order."""
