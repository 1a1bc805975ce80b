r"""Sweeps: one method trained at many options and seeds, kept so that nothing is ever done twice.

    plan        what is asked for: axes as they are typed, cells, what is refused
    folder      a sweep on disk: what its runs are judged on, what is there, what is still to be done
    training    the work: in this process, in several, or on a Ray cluster; grids and guided search
    outcome     what came out: a row a cell, the best, lines along each axis, a cell's runs
    cost        about how long it will take
    effects     how much each option matters
    report      all of it as text and as JSON

A cell is one choice of every axis. Its value is the mean of the task's metric over seeds, its spread their standard
deviation.
"""

from core.sweep.cost import Estimate, estimate
from core.sweep.effects import LEAST, Effect, Importance, decomposed, importance
from core.sweep.folder import WORDS, Sweep, afford, begin, held_out, listing, locked, read, remove, todo
from core.sweep.outcome import Line, Results, Row, lines, operator, operators, promote, results
from core.sweep.plan import PRESETS, Cell, Plan, cells, checked_plan, plain, sweepable, told, values_of
from core.sweep.report import record, text
from core.sweep.training import Done, guided, sweep

__all__ = [
    "LEAST", "PRESETS", "WORDS", "Cell", "Done", "Effect", "Estimate", "Importance", "Line", "Plan", "Results", "Row",
    "Sweep", "afford", "begin", "cells", "checked_plan", "decomposed", "estimate", "guided", "held_out", "importance",
    "lines", "listing", "locked", "operator", "operators", "plain", "promote", "read", "record", "remove",
    "results", "sweep", "sweepable", "text", "todo", "told", "values_of", "work",
]  # fmt: skip
