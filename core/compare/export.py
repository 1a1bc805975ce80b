"""The comparison to take along: text, Markdown, LaTeX and CSV, in which no name of a run or class does any harm."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.compare.judged import METRICS, digits
from core.compare.side_by_side import Line
from core.dataset import Dataset
from core.machine.names import shown
from core.sample import Samples


@dataclass(frozen=True)
class Value:
    """A number in a table: mean, perhaps with its sd, or with an interval; None or NaN is told as a dash."""

    mean: float | int | None
    sd: float | None = None
    span: tuple[float, float] | None = None
    digits: int = 1
    signed: bool = False

    def told(self, plus_minus: str = "±", dash: str = "–", minus: str = "-") -> str:
        def number(value: float | int, signed: bool = False) -> str:
            return f"{value:{'+' if signed else ''},.{self.digits}f}".replace("-", minus)

        if self.mean is None or np.isnan(self.mean):
            return dash
        said = number(self.mean, self.signed)
        if self.sd is not None and not np.isnan(self.sd):
            said += f" {plus_minus} {number(self.sd)}"
        if self.span is not None and not np.isnan(self.span[0]):
            said += f" [{number(self.span[0], self.signed)}, {number(self.span[1], self.signed)}]"
        return said


Cell = str | Value


@dataclass(frozen=True)
class Table:
    """Heads are ours; texts in rows may be hostile."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def table(found: Sequence[Line], baseline: str | None) -> Table:
    """One row a group: every metric, the difference to the baseline with interval and verdict, the cost."""
    if not found:
        return Table(("method",), ())
    names = {m: w for m, w in METRICS[next(iter(found[0].metrics))].items() if _somewhere(found, m)}
    first = next(iter(found[0].metrics))
    columns = list(dict.fromkeys(name for line in found for name in line.missing))
    head = ["method", "seeds", *names.values()]
    head += ["difference", "p (Holm)", "verdict"] if baseline is not None and len(found) > 1 else []
    head += [*columns, "weights"]
    head += ["FLOPs"] if found[0].flops is not None else []
    head += ["scoring (ms)"] if any(line.ms is not None for line in found) else []
    head += ["peak (MB)"] if any(line.megabytes is not None for line in found) else []
    head += ["training (s)"]
    rows = []
    for line in found:
        cells: list[Cell] = [line.group.title, str(len(line.group.runs))]
        cells += [Value(line.metrics[m].mean, line.metrics[m].sd, digits=digits(m)) for m in names]
        if "difference" in head:
            d = line.difference
            cells += (
                ["baseline" if line.group.id == baseline else "", Value(None), ""]
                if d is None
                else [
                    Value(d.delta, span=(d.low, d.high), digits=digits(first), signed=True),
                    Value(d.adjusted, digits=3),
                    d.verdict,
                ]
            )
        cells += [Value(line.missing.get(name), digits=digits(first)) for name in columns]
        cells.append(Value(line.group.weights, digits=0))
        cells += [Value(line.flops, digits=0)] if "FLOPs" in head else []
        cells += [Value(line.ms)] if "scoring (ms)" in head else []
        cells += [Value(line.megabytes)] if "peak (MB)" in head else []
        cells.append(Value(line.group.seconds))
        rows.append(tuple(cells))
    return Table(tuple(head), tuple(rows))


def _somewhere(found: Sequence[Line], metric: str) -> bool:
    """The compared metric always; another one where it is defined for some group."""
    return metric == next(iter(found[0].metrics)) or any(not np.isnan(line.metrics[metric].mean) for line in found)


def parts_table(found: Sequence[Line]) -> Table:
    """One row a group, one column a kind of anomaly (AUC), a class (recall) or a target (correlation)."""
    names = list(dict.fromkeys(name for line in found for name in line.parts))
    first = next(iter(found[0].metrics)) if found else "auc"
    return Table(
        ("method", *(shown(name, 40) for name in names)),
        tuple((line.group.title, *(Value(line.parts.get(n), digits=digits(first)) for n in names)) for line in found),
    )


def text(made: Table) -> str:
    """The table for a terminal."""
    cells = [list(made.head)] + [[c.told() if isinstance(c, Value) else shown(c, 60) for c in row] for row in made.rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(made.head))]
    return "\n".join(
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def markdown(made: Table) -> str:
    """A pipe table; every text is escaped."""
    cells = [[c.told() if isinstance(c, Value) else escaped_markdown(c) for c in row] for row in made.rows]
    heads = [escaped_markdown(head) for head in made.head]
    ruler = ["---"] + ["---:"] * (len(heads) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ruler, *cells]) + "\n"


def escaped_markdown(name: str) -> str:
    r"""Text inside a Markdown table: no picture, link, HTML or new cell; words, spaces, dashes and dots stay readable.

    >>> escaped_markdown("a|b ![x](http://y) <b>")
    'a\\|b \\!\\[x\\]\\(http\\:\\/\\/y\\) \\<b\\>'
    >>> escaped_markdown("LEGO motion+text (α = 0.5)")
    'LEGO motion\\+text \\(α = 0.5\\)'
    """
    line = re.sub(r"([!-,/:-<>-@\[-`{-~])", r"\\\1", shown(name, 120))
    return re.sub(r"\b(www|ftp)\.", r"\1\\.", line)


LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "[": "{[}", "]": "{]}", "*": "{*}", "`": r"\textasciigrave{}", "±": r"$\pm$",
    "·": r"$\cdot$", "Δ": r"$\Delta$", "α": r"$\alpha$", "λ": r"$\lambda$", "…": r"\dots{}", "–": "--", "-": "{-}",
}  # fmt: skip


def escaped_latex(name: str) -> str:
    r"""Text inside a LaTeX table: nothing in it is a command, a cell, a row's option or a ligature.

    Letters that pdfLaTeX's usual fonts cannot set are told by their number.

    >>> escaped_latex(r"a_b & \input{x}") == r"a\_b \& \textbackslash{}input\{x\}"
    True
    >>> escaped_latex("\u4e2d")
    '(U+4E2D)'
    """
    return "".join(
        LATEX.get(c, c if c.isascii() or 0xC0 <= ord(c) <= 0x17F else f"(U+{ord(c):04X})") for c in shown(name, 120)
    )


def latex(made: Table, caption: str = "") -> str:
    r"""The table for a paper; wants \usepackage{booktabs}."""

    def cell(value: Cell) -> str:
        if not isinstance(value, Value):
            return escaped_latex(value)
        told = value.told(r"\pm", "--", "-").replace(",", "{,}")
        return told if told == "--" else f"${told.replace('{,} ', ', ')}$"

    lines_ = [r"% \usepackage{booktabs}", r"\begin{tabular}{l" + "r" * (len(made.head) - 1) + "}", r"\toprule"]
    lines_.append(" & ".join(escaped_latex(head) for head in made.head) + r" \\")
    lines_.append(r"\midrule")
    lines_ += [" & ".join(cell(value) for value in row) + r" \\" for row in made.rows]
    lines_ += [r"\bottomrule", r"\end{tabular}"]
    if caption:
        lines_.insert(1, f"% {escaped_latex(caption)}")
    return "\n".join(lines_) + "\n"


def records(found: Sequence[Line], baseline: str | None) -> list[dict[str, Any]]:
    """One flat record a group, undefined values None: rows of the CSV and of the JSON."""
    made = []
    for line in found:
        row: dict[str, Any] = {"group": line.group.id, "method": line.group.title, "fusion": line.group.first.fusion}
        row |= {"baseline": line.group.id == baseline, "seeds": len(line.group.runs)}
        for metric, each in line.metrics.items():
            row |= {
                metric: each.mean, f"{metric}_sd": each.sd,
                f"{metric}_seeds_low": each.seeds_low, f"{metric}_seeds_high": each.seeds_high,
                f"{metric}_clips_low": each.clips_low, f"{metric}_clips_high": each.clips_high,
            }  # fmt: skip
        if line.difference is not None:
            d = line.difference
            row |= {"difference": d.delta, "difference_low": d.low, "difference_high": d.high, "p": d.p}
            row |= {"p_holm": d.adjusted, "verdict": d.verdict, "test": d.test, "pairs": d.seeds}
        row |= line.missing
        row |= {"weights": line.group.weights, "flops": line.flops, "scoring_ms": line.ms, "peak_mb": line.megabytes}
        row |= {"training_s": line.group.seconds, "why": line.why or None}
        row |= {f"of {name}": value for name, value in line.parts.items()}
        made.append({k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in row.items()})
    return made


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Records as CSV that no spreadsheet runs: texts that begin like a formula get a quote in front."""

    def safe(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and value[:1] in set("=+-@\t\r") else value

    heads = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([safe(head) for head in heads])
    writer.writerows([[safe(row.get(head)) for head in heads] for row in rows])
    return out.getvalue()


def report(data: Dataset | Samples, baseline: str, found: Sequence[Line], form: str = "text") -> str:
    """The comparison as text, md, latex or csv."""
    made = table(found, baseline)
    if form == "csv":
        return as_csv(records(found, baseline))
    if form == "md":
        return markdown(made)
    base = next(line.group.title for line in found if line.group.id == baseline)
    if form == "latex":
        return latex(made, f"{data.name}: mean and sd over seeds; differences to {base}, 95 % intervals")
    if form != "text":
        raise ValueError(f"--format is text, md, latex or csv, not {form!r}")
    rest = parts_table(found)
    what = {"auc": "AUC by kind of anomaly", "accuracy": "recall by class", "correlation": "correlation by target"}
    note = (
        f"difference: to {shown(base, 60)} on the same clips or samples, 95 % interval over them and over seeds; "
        "p after Holm.\nFLOPs: of one unit or sample, 2 for a multiplication and its addition. scoring: the test part, "
        "here, processor time.\ntraining: as recorded, maybe on another machine."
    )
    said = [text(made), note]
    if len(rest.head) > 1:
        said.append(f"{what[next(iter(found[0].metrics))]}\n{text(rest)}")
    return "\n\n".join(said)
