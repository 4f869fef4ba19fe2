"""Rows filled, copied and deleted in batches that the traffic doesn't feel."""
