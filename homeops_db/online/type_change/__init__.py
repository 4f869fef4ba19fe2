"""Another type for a column in use, in three revisions: `operation` is the face, `steps` what it does."""
