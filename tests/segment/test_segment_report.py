"""Table and bars follow from the rows: numbers by hand."""

import itertools

import pytest
from scipy.stats import wilcoxon

from pmmsynth.segment.report import bars, comparisons, groups, markdown, overall, write_report
from pmmsynth.segment.score import MIXED, VARIANTS, RegionScore

DICE = {
    "real": [0.90, 0.80, 0.85, 0.70, 0.95, 0.60],
    "synthesized": [0.88, 0.78, 0.80, 0.71, 0.90, 0.55],
    "dropped": [0.70, 0.60, 0.75, 0.50, 0.80, 0.30],
}


def row(variant: str, left_out: str, case: int, dice: float, **changes: object) -> RegionScore:
    fields = {"dataset": "A", "case": f"c{case}", "region": "whole tumour", "hd95_mm": 4.0 + case, "digest": "x"}
    fields |= {"volume_ml": 10.0 + case, "truth_ml": 12.0, "split": "test", "network": "n"}
    return RegionScore(variant=variant, left_out=left_out, dice=dice, **(fields | changes))


@pytest.fixture
def rows() -> list[RegionScore]:
    return [row(v, "" if v == "real" else "T1C", i, dice) for v in VARIANTS for i, dice in enumerate(DICE[v])]


def test_numbers_by_hand(rows):
    (group,) = groups(rows)
    assert (group.left_out, group.region, group.n) == ("T1C", "whole tumour", 6)
    found = comparisons([group])["T1C", "whole tumour", "dropped"]
    gains = [a - b for a, b in zip(DICE["synthesized"], DICE["dropped"], strict=True)]
    assert found.mean == pytest.approx(sum(gains) / 6)
    assert found.p == pytest.approx(wilcoxon(gains).pvalue) == pytest.approx(0.03125)
    assert found.low < found.mean < found.high
    assert overall([group])["dropped"].mean == pytest.approx(found.mean)
    text = markdown([group])
    assert "| T1C | whole tumour | 6 | 0.800 ± 0.130 | 0.770 ± 0.128 | 0.608 ± 0.186 | +0.162 [" in text
    assert "real 0.800, synthesized 0.770, dropped 0.608" in text
    assert "| T1C | whole tumour | 6.5 (6) | 6.5 (6) | 6.5 (6) | 1.5 | 1.5 | 1.5 |" in text


def test_only_cases_of_all_variants_count_and_missing_distances_are_said(rows):
    rows = [r for r in rows if not (r.variant == "dropped" and r.case == "c5")]
    rows[0] = rows[0].model_copy(update={"hd95_mm": None})
    (group,) = groups(rows)
    assert group.n == 5
    assert "| 6.5 (4) | 6.0 (5) | 6.0 (5) |" in markdown([group])
    assert groups([r for r in rows if r.variant != "real"]) == []
    assert markdown([]) == ""


def test_what_is_not_compared_is_said_by_itself(rows, tmp_path):
    """One segmenter, and a sequence synthesized without a network that was trained without it."""
    few = [r for r in rows if r.variant != "dropped"]
    few[0] = few[0].model_copy(update={"hd95_mm": None})
    text = write_report(few, tmp_path).read_text(encoding="utf-8")
    assert text.startswith("Scenarios of which not all of real, synthesized, dropped are there")
    assert "| - | real | whole tumour | 6 | 0.800 ± 0.130 | 7.0 (5) | 1.5 |" in text
    assert "| T1C | synthesized | whole tumour | 6 | 0.770 ± 0.128 | 6.5 (6) | 1.5 |" in text
    assert not (tmp_path / "segmentation.png").exists()
    both = [*rows, row("synthesized", "T2", 0, 0.5)]
    text = write_report(both, tmp_path).read_text(encoding="utf-8")
    assert "| T1C | whole tumour | 6 |" in text
    assert "| T2 | synthesized | whole tumour | 1 | 0.500 | 4.0 (1) | 2.0 |" in text
    assert "| - | real |" not in text, "it stands in the table above"


def test_p_is_corrected_over_all_scenarios_and_regions(rows):
    more = [r.model_copy(update={"left_out": "T2"}) for r in rows if r.left_out]
    found = comparisons(groups([*rows, *more]))
    assert [key[0] for key in found] == ["T2", "T1C", "T2", "T1C"]
    assert found["T2", "whole tumour", "dropped"].p == pytest.approx(2 * 0.03125)


def test_overall_is_of_each_cases_mean(rows):
    """In a second scenario synthesis gains nothing: the mean gain is halved, the cases stay six."""
    more = [row(v, "T2", i, dice) for v in ("synthesized", "dropped") for i, dice in enumerate(DICE["real"])]
    found = overall(groups([*rows, *more]))["dropped"]
    assert found.n == 6
    assert found.mean == pytest.approx((0.770 - 0.608) / 2, abs=1e-3)


MIXED_DICE = {
    "mixed, real": [0.91, 0.81, 0.84, 0.72, 0.96, 0.61],
    "mixed, synthesized": [0.92, 0.82, 0.85, 0.73, 0.97, 0.62],
}


def test_a_mixed_network_by_hand(rows):
    """It has its own table once all its rows are there, and takes nothing from the first."""
    plain = markdown(groups(rows))
    more = [row(v, "" if v == "mixed, real" else "T1C", i, dice) for v in MIXED for i, dice in enumerate(MIXED_DICE[v])]
    assert markdown(groups([*rows, *more[:-1]])) == plain
    text = markdown(groups([*rows, *more]))
    assert text.startswith(plain)
    table = text.removeprefix(plain)
    gain, over = (sum(a - b for a, b in zip(MIXED_DICE["mixed, synthesized"], DICE[o], strict=True)) / 6 for o in
                  ("dropped", "synthesized"))  # fmt: skip
    assert f"| T1C | whole tumour | 6 | 0.808 ± 0.128 | 0.818 ± 0.128 | {gain:+.3f} [" in table
    assert f"| 0.031 | {over:+.3f} [" in table
    assert "mixed, real 0.808, mixed, synthesized 0.818, dropped 0.608, synthesized 0.770." in table
    assert f"Mixed, synthesized minus dropped, per case over all: {gain:+.3f} [" in table
    (panel,) = bars(groups([*rows, *more])).axes
    order = [*VARIANTS, "mixed, synthesized"]
    assert [p.get_height() for p in panel.patches] == pytest.approx([sum((DICE | MIXED_DICE)[v]) / 6 for v in order])
    edges = [(p.get_x(), p.get_x() + p.get_width()) for p in panel.patches]
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(edges)), "side by side"


def test_bars_stand_at_the_means(rows, tmp_path):
    figure = bars(groups(rows))
    (panel,) = figure.axes
    heights = [patch.get_height() for patch in panel.patches]
    assert heights == pytest.approx([sum(DICE[v]) / 6 for v in VARIANTS])
    assert [label.get_text() for label in panel.get_xticklabels()] == ["no T1C"]
    write_report(rows, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"segmentation.md", "segmentation.png"}
    before = (tmp_path / "segmentation.png").read_bytes()
    write_report(list(reversed(rows)), tmp_path)
    assert (tmp_path / "segmentation.png").read_bytes() == before
