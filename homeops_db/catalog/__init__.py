"""Every read of pg_catalog and pg_stat_*: a SQL constant, a frozen dataclass, a function. Nobody else asks."""
