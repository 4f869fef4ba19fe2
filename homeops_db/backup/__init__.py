"""Backups by pg_dump: written, summed up in a manifest, and looked at again by pg_restore."""
