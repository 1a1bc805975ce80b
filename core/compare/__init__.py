r"""Runs side by side on the same test rows: how good, how surely, whether two differ, where they disagree, the cost.

A *group* is one configuration with every seed of it. With S seeds s, a metric M and the test part's clips (samples are
clips of one row), which are drawn with replacement B times (`core.measure.redraw`):

    M(g)        = mean over s of M(g, s)
    over seeds    M(g) ± t(S - 1, 97.5 %) sd_s / sqrt(S)               another training on these clips
    over clips    2.5 % ... 97.5 % of M(g) on the B draws              these models on other clips

    judged        one run: every metric with its draws, its parts, and without its modalities
    paired        a group's intervals, and whether it differs from a baseline
    disagreement  where two groups say different things of the same rows
    cost          time and memory of scoring
    side_by_side  groups of runs, and everything of them in one line each
    export        the table as text, Markdown, LaTeX, CSV
"""

from core.compare.cost import peaks, scoring_time
from core.compare.disagreement import Disagreement, disagreement_of
from core.compare.export import Table, Value, as_csv, latex, markdown, records, report, table
from core.compare.judged import LOWER, METRICS, PLAIN, Judged, digits, judge, missing, parts_of
from core.compare.paired import Difference, Estimate, difference, estimate, verdict
from core.compare.side_by_side import Group, Line, compare, groups, lines, over_seeds, recorded, suggested, wanted
from core.measure.tests import holm, mcnemar

__all__ = [
    "LOWER", "PLAIN", "Difference", "Disagreement", "Estimate", "Group", "Judged", "Line", "Table", "Value",
    "as_csv", "compare", "difference", "digits", "disagreement_of", "estimate", "groups", "holm", "judge",
    "latex", "lines", "markdown", "mcnemar", "METRICS", "missing", "over_seeds", "parts_of", "peaks",
    "recorded", "records", "report", "scoring_time", "suggested", "table", "verdict", "wanted",
]  # fmt: skip
