"""What runs in the guarded child alone: readers of foreign files, from a path to clean arrays and facts.

A reader is called with a path, what messages call the file, and the most bytes it may hold or unpack to. It returns
arrays by name and facts, or raises `RefusedError`; whatever else happens to it happens to a process of no value.
`core/data/guard.py` starts that process and is the only way in.
"""

from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Answer = tuple[Arrays, dict[str, Any]]

ONLY = "array"  # the name of the array in a file that holds one without a name
MEMBERS = 4096
RATIO = 200  # what is packed may claim to unpack to this many times its size
ANY_RATIO = 1100  # more than deflate can do: for masks, which are nearly all zeros, and looked at piece by piece
