"""Long work in processes of its own: extraction, imports, trainings and sweeps outlive a tab and the server."""

from core.jobs.queue import cancel, ensure, revive, submit, tidy, work
from core.jobs.record import Job, Passed, Report, drop_upload, find, forget, listing, passing, waiting

__all__ = [
    "Job",
    "Passed",
    "Report",
    "cancel",
    "drop_upload",
    "ensure",
    "find",
    "forget",
    "listing",
    "passing",
    "revive",
    "submit",
    "tidy",
    "waiting",
    "work",
]
