"""Everything slow, cached, one file a subject; `keys` says what a key is. No mathematics and no page here.

What is returned is shared by all users: read-only. Any visitor can clear the global cache, so nothing of value lives
only here.
"""

from app.store import compare, data, graphs, keys, methods, models, pictures, runs, server, sweeps, work

__all__ = ["compare", "data", "graphs", "keys", "methods", "models", "pictures", "runs", "server", "sweeps", "work"]
