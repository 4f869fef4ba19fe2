"""Another shape for a table in use, in three revisions: `operation` is the face, `steps` what it does."""
