"""From rows to the table and the bars of Fig. 2c: pure functions."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, stdev

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pmmsynth.atomic import write_text
from pmmsynth.evaluate.figures import save
from pmmsynth.evaluate.significance import Difference, compare
from pmmsynth.modality import ordered
from pmmsynth.segment.score import VARIANTS, RegionScore, Variant

COLOURS = {"real": "#4c78a8", "synthesized": "#f2a541", "dropped": "#b0b0b0"}
OTHERS: tuple[Variant, ...] = ("dropped", "real")
"""What synthesized is compared with."""
EMPTY = (
    "A region that is empty in truth and prediction counts as Dice 1, distance 0; in one of them as Dice 0, without a "
    "distance."
)


@dataclass(frozen=True)
class Group:
    """One region in one scenario, on the cases that all its variants were scored on.

    Attributes:
        left_out: The sequence.
        region: The region.
        rows: Per variant the cases' rows, in one order.
    """

    left_out: str
    region: str
    rows: dict[Variant, list[RegionScore]]

    @property
    def n(self) -> int:
        return len(self.rows["real"])

    def dice(self, variant: Variant) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Of each case."""
        return np.array([row.dice for row in self.rows[variant]])


def groups(rows: Iterable[RegionScore]) -> list[Group]:
    """Every scenario of which all three variants are there, with its regions; the real variant belongs to all."""
    found: dict[tuple[str, str], dict[Variant, dict[tuple[str, str], RegionScore]]] = defaultdict(dict)
    for row in rows:
        found[row.left_out, row.region].setdefault(row.variant, {})[row.dataset, row.case] = row
    regions = list(dict.fromkeys(region for _, region in found))
    result = []
    for left_out in ordered(name for name, _ in found if name):
        for region in regions:
            table = {**found.get((left_out, region), {}), **found.get(("", region), {})}
            shared = sorted(set.intersection(*(set(table.get(v, {})) for v in VARIANTS)))
            if shared:
                result.append(Group(left_out, region, {v: [table[v][case] for case in shared] for v in VARIANTS}))
    return result


def comparisons(found: Sequence[Group]) -> dict[tuple[str, str, Variant], Difference]:
    """Dice of synthesized minus dropped, and minus real; corrected over all comparisons with the same other."""
    result: dict[tuple[str, str, Variant], Difference] = {}
    for other in OTHERS:
        pairs = {(g.left_out, g.region, other): g.dice("synthesized") - g.dice(other) for g in found}
        result |= compare(pairs)
    return result


def overall(found: Sequence[Group]) -> dict[Variant, Difference]:
    """The same for each case's mean Dice over all regions and scenarios: one comparison with each other variant."""
    result: dict[Variant, Difference] = {}
    for other in OTHERS:
        by_case: dict[tuple[str, str], list[float]] = defaultdict(list)
        for group in found:
            for made, row in zip(group.rows["synthesized"], group.rows[other], strict=True):
                by_case[made.dataset, made.case].append(made.dice - row.dice)
        result |= compare({other: np.array([fmean(values) for values in by_case.values()])})
    return result


def markdown(found: Sequence[Group]) -> str:
    """Two tables with what their columns mean."""
    if not found:
        return "No scenario has all three variants yet.\n"
    tested = comparisons(found)
    lines = [
        "Dice, mean ± standard deviation over n cases: all sequences real; the left-out one synthesized from the "
        "others, same network; a network trained without it. Differences: mean, 95 % bootstrap interval over cases, p "
        f"of the two-sided Wilcoxon test after Holm. {EMPTY}",
        "",
        "| left out | region | n | real | synthesized | dropped | synthesized - dropped | p | synthesized - real | p |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for group in found:
        cells = [_spread(group.dice(variant)) for variant in VARIANTS]
        for other in OTHERS:
            difference = tested[group.left_out, group.region, other]
            cells += [_difference(difference), f"{difference.p:.2g}"]
        lines.append(f"| {group.left_out} | {group.region} | {group.n} | {' | '.join(cells)} |")
    means = {v: fmean(fmean(group.dice(v)) for group in found) for v in VARIANTS}
    lines += ["", f"Mean over regions and scenarios: {', '.join(f'{v} {means[v]:.3f}' for v in VARIANTS)}. "]
    for other, difference in overall(found).items():
        lines[-1] += (
            f"Synthesized minus {other}, per case over all: {_difference(difference)}, n = {difference.n}, "
            f"p = {difference.p:.2g}. "
        )
    lines[-1] = lines[-1].strip()
    lines += [
        "",
        "95th-percentile Hausdorff distance in mm, median (n: cases that have one), and error of the volume in ml, "
        "median of its absolute value.",
        "",
        f"| left out | region | {' | '.join(f'HD95 {v}' for v in VARIANTS)} | "
        f"{' | '.join(f'volume {v}' for v in VARIANTS)} |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for group in found:
        cells = [_distance(group.rows[v]) for v in VARIANTS]
        cells += [f"{median(abs(r.volume_ml - r.truth_ml) for r in group.rows[v]):.1f}" for v in VARIANTS]
        lines.append(f"| {group.left_out} | {group.region} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def bars(found: Sequence[Group]) -> Figure:
    """A panel per region, a group of bars per left-out sequence: mean Dice, its standard error, the cases as dots."""
    regions = list(dict.fromkeys(group.region for group in found))
    scenarios = list(dict.fromkeys(group.left_out for group in found))
    figure = Figure(figsize=(1.2 + max(1.15 * len(scenarios), 2.6) * max(len(regions), 1), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, max(len(regions), 1), sharey=True, squeeze=False)[0]
    for panel, region in zip(axes, regions, strict=False):
        for group in (g for g in found if g.region == region):
            for place, variant in enumerate(VARIANTS):
                at = scenarios.index(group.left_out) + 0.27 * (place - 1)
                values = group.dice(variant)
                error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
                panel.bar(at, values.mean(), 0.25, color=COLOURS[variant], yerr=error, capsize=2.5, ecolor="#333333",
                          label=variant if group.left_out == scenarios[0] else None)  # fmt: skip
                spread = np.linspace(-0.07, 0.07, len(values)) if len(values) > 1 else np.zeros(1)
                panel.scatter(at + spread, values, s=5, color="#222222", alpha=0.45, linewidths=0, zorder=3)
        panel.set_title(region, fontsize=10)
        panel.set_xticks(range(len(scenarios)), [f"no {name}" for name in scenarios], fontsize=9)
        panel.set_ylim(0, 1.02)
        panel.grid(axis="y", color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    axes[0].set_ylabel("Dice")
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def write_report(rows: Iterable[RegionScore], out: Path) -> Path:
    """Write segmentation.md and, once there is a whole scenario, segmentation.png; returns the table's path."""
    found = groups(rows)
    write_text(out / "segmentation.md", markdown(found))
    if found:
        save(bars(found), out / "segmentation.png")
    return out / "segmentation.md"


def _spread(values: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):.3f}{spread}"


def _difference(difference: Difference) -> str:
    interval = f" [{difference.low:+.3f}, {difference.high:+.3f}]" if difference.n > 1 else ""
    return f"{difference.mean:+.3f}{interval}"


def _distance(rows: Sequence[RegionScore]) -> str:
    known = [row.hd95_mm for row in rows if row.hd95_mm is not None]
    return f"{median(known):.1f} ({len(known)})" if known else "- (0)"
