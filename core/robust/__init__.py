r"""What corruptions do to a trained model: its scores and its metric against their strength.

stress    one run under one corruption at every strength
record    every run under every corruption, in one table
ranks     "lower rank is more robust": the experiment and its verdict
"""

from core.measure.tests import trend, welch
from core.robust.ranks import Trend, of_ranks, rank_report, trained_ranks, trends, verdict
from core.robust.record import Record, recorded, records, spread_over, table, trained_on
from core.robust.stress import KINDS, Stress, stressed

__all__ = [
    "KINDS", "Record", "Stress", "Trend", "of_ranks", "rank_report", "recorded", "records", "spread_over", "stressed",
    "table", "trained_on", "trained_ranks", "trend", "trends", "verdict", "welch",
]  # fmt: skip
