"""Every read of pg_catalog and pg_stat_*: SQL constant, frozen dataclass, function. Nobody else asks."""
