"""`python -m core.jobs …`: the worker, and one job, in processes of their own."""

import sys

from core.jobs.queue import main

if __name__ == "__main__":
    main(sys.argv[1:])
