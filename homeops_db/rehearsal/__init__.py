"""A rehearsal of the whole history on generated data, under the traffic of an application."""
