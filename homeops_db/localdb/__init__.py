"""A PostgreSQL with all six extensions on this machine, without root and without a container.

Two public faces, imported by name so that nothing is loaded before it is needed:

- `homeops_db.localdb.packages.find_or_fetch`: the server's programs.
- `homeops_db.localdb.server`: `ensure_running`, `status`, `stop`, `destroy` of this checkout's server.
"""
