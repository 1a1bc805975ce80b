"""Everything slow, cached, one file a subject. Keys are names, numbers and digests, never arrays or tensors.

A folder's stamp (inode, size and time of its index file) is part of the key: datasets and runs are written as drafts
and renamed, so a new one has a new stamp and the old entry ages out. What is returned is shared by all users:
read-only. Any visitor can clear the global cache, so nothing of value lives only here.
"""

from app.store import compare, data, graphs, keys, methods, models, pictures, runs, server, sweeps, work

__all__ = ["compare", "data", "graphs", "keys", "methods", "models", "pictures", "runs", "server", "sweeps", "work"]
