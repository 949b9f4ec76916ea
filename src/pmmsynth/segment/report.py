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
from pmmsynth.segment.score import MIXED, VARIANTS, RegionScore, Variant

COLOURS: dict[Variant, str] = {
    "real": "#4c78a8",
    "synthesized": "#f2a541",
    "dropped": "#b0b0b0",
    "mixed, synthesized": "#b5651d",
}
"""Of the bars, from left to right."""
OTHERS: tuple[Variant, ...] = ("dropped", "real")
"""What synthesized is compared with."""
MIXED_OTHERS: tuple[Variant, ...] = ("dropped", "synthesized")
"""What synthesized is compared with, for a network that learned from synthesized sequences."""
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
        rows: Per variant the cases' rows, in one order; those of MIXED are there if all cases have them.
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
            whole = all(set(shared) <= set(table.get(v, {})) for v in MIXED)
            if shared:
                variants = (*VARIANTS, *MIXED) if whole else VARIANTS
                result.append(Group(left_out, region, {v: [table[v][case] for case in shared] for v in variants}))
    return result


def comparisons(
    found: Sequence[Group], variant: Variant = "synthesized", others: Sequence[Variant] = OTHERS
) -> dict[tuple[str, str, Variant], Difference]:
    """Dice of a variant minus that of others; corrected over all comparisons with the same other."""
    result: dict[tuple[str, str, Variant], Difference] = {}
    for other in others:
        pairs = {(g.left_out, g.region, other): g.dice(variant) - g.dice(other) for g in found}
        result |= compare(pairs)
    return result


def overall(
    found: Sequence[Group], variant: Variant = "synthesized", others: Sequence[Variant] = OTHERS
) -> dict[Variant, Difference]:
    """The same for each case's mean Dice over all regions and scenarios: one comparison with each other variant."""
    result: dict[Variant, Difference] = {}
    for other in others:
        by_case: dict[tuple[str, str], list[float]] = defaultdict(list)
        for group in found:
            for made, row in zip(group.rows[variant], group.rows[other], strict=True):
                by_case[made.dataset, made.case].append(made.dice - row.dice)
        result |= compare({other: np.array([fmean(values) for values in by_case.values()])})
    return result


def markdown(found: Sequence[Group]) -> str:
    """Tables with what their columns mean: Dice, distances and volumes, and, where it was scored, the mixed network."""
    if not found:
        return ""
    tables = [dice_table(found), distance_table(found)]
    if mixed := [group for group in found if MIXED[1] in group.rows]:
        tables.append(mixed_table(mixed))
    return "\n".join(tables)


def dice_table(found: Sequence[Group]) -> str:
    """Dice of the variants of Fig. 2c, region by region and over all."""
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
    lines += ["", _over_all(found, "synthesized", VARIANTS, OTHERS)]
    return "\n".join(lines) + "\n"


def mixed_table(found: Sequence[Group]) -> str:
    """Dice of the network that learned from synthesized sequences among the real ones."""
    real, made = MIXED
    tested = comparisons(found, made, MIXED_OTHERS)
    lines = [
        "The same inputs for one more network on all sequences, which learned from synthesized ones too and is told "
        "which they are (mixed): a training slice had all sequences real or one of them synthesized from the others, "
        "each as often. Dice and differences as above, p after Holm over the rows of this table.",
        "",
        f"| left out | region | n | {real} | {made} | - dropped | p | - synthesized, not mixed | p |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for group in found:
        cells = [_spread(group.dice(variant)) for variant in MIXED]
        for other in MIXED_OTHERS:
            difference = tested[group.left_out, group.region, other]
            cells += [_difference(difference), f"{difference.p:.2g}"]
        lines.append(f"| {group.left_out} | {group.region} | {group.n} | {' | '.join(cells)} |")
    lines += ["", _over_all(found, made, (*MIXED, *MIXED_OTHERS), MIXED_OTHERS)]
    return "\n".join(lines) + "\n"


def distance_table(found: Sequence[Group]) -> str:
    """HD95 and errors of volumes of the variants of Fig. 2c."""
    lines = [
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


def rest(rows: Sequence[RegionScore], found: Sequence[Group]) -> str:
    """What was scored of scenarios that lack a variant, without comparisons; nothing if there is none."""
    whole = {group.left_out for group in found}
    parts: dict[tuple[str, Variant, str], list[RegionScore]] = defaultdict(list)
    for row in rows:
        if row.left_out not in whole and (row.left_out or not found):
            parts[row.left_out, row.variant, row.region].append(row)
    if not parts:
        return ""
    lines = [
        f"Scenarios of which not all of {', '.join(VARIANTS)} are there, so that nothing is compared. Dice, mean ± "
        "standard deviation over n cases; medians of HD95 in mm and of the absolute error of the volume in ml. "
        f"{EMPTY}",
        "",
        "| left out | variant | region | n | Dice | HD95 | volume |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for (left_out, variant, region), own in parts.items():
        volume = median(abs(row.volume_ml - row.truth_ml) for row in own)
        cells = [str(len(own)), _spread([row.dice for row in own]), _distance(own), f"{volume:.1f}"]
        lines.append(f"| {left_out or '-'} | {variant} | {region} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _over_all(found: Sequence[Group], variant: Variant, shown: Sequence[Variant], others: Sequence[Variant]) -> str:
    means = ", ".join(f"{v} {fmean(fmean(group.dice(v)) for group in found):.3f}" for v in shown)
    text = f"Mean over regions and scenarios: {means}."
    for other, difference in overall(found, variant, others).items():
        text += (
            f" {variant.capitalize()} minus {other}, per case over all: {_difference(difference)}, "
            f"n = {difference.n}, p = {difference.p:.2g}."
        )
    return text


def bars(found: Sequence[Group]) -> Figure:
    """A panel per region, a group of bars per left-out sequence: mean Dice, its standard error, the cases as dots."""
    regions = list(dict.fromkeys(group.region for group in found))
    scenarios = list(dict.fromkeys(group.left_out for group in found))
    figure = Figure(figsize=(1.2 + max(1.15 * len(scenarios), 2.6) * max(len(regions), 1), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, max(len(regions), 1), sharey=True, squeeze=False)[0]
    for panel, region in zip(axes, regions, strict=False):
        for group in (g for g in found if g.region == region):
            shown = [variant for variant in COLOURS if variant in group.rows]
            width = 0.81 / len(shown)
            for place, variant in enumerate(shown):
                at = scenarios.index(group.left_out) + width * (place - (len(shown) - 1) / 2)
                values = group.dice(variant)
                error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
                label = variant if group.left_out == scenarios[0] else None
                colours = {"color": COLOURS[variant], "ecolor": "#333333"}
                panel.bar(at, values.mean(), 0.93 * width, yerr=error, capsize=2.5, label=label, **colours)
                spread = np.linspace(-0.26 * width, 0.26 * width, len(values)) if len(values) > 1 else np.zeros(1)
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
        columns = len(labels) if len(regions) > 1 else 2  # one panel is narrower than all names
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    return figure


def write_report(rows: Iterable[RegionScore], out: Path) -> Path:
    """Write segmentation.md and, once there is a whole scenario, segmentation.png; returns the table's path."""
    rows = list(rows)
    found = groups(rows)
    write_text(out / "segmentation.md", "\n".join(text for text in (markdown(found), rest(rows, found)) if text))
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
