"""The revisions on disk, the ledger in the database, and what stands between the two."""
