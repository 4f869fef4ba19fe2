"""How a strong lock is taken so that the traffic doesn't notice: look, ask briefly, be watched, try again."""
