"""The scripts of the comparison: tables, costs and gains that follow from the rows."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from model_phantoms import make_model
from phantoms import make_store
from pmmsynth.evaluate.score import Score
from pmmsynth.model import load_model
from pmmsynth.nets.modulation import Modulation
from score_rows import score_row

OURS = "PMM-Synth"


def write_kept(
    folder: Path,
    seed: int,
    rows: list[Score],
    *,
    training: float = 60.0,
    epoch: float = 10.0,
    never: tuple[str, ...] = (),
) -> None:
    """What a comparison of these rows leaves; all methods but the floors cost the same."""
    import kept

    cost = {"digest": "d", "models": 1, "parameters": 1000, "gmacs": 0.5, "ms": 2.0} | {
        "training": training,
        "epoch": epoch,
    }
    done = {
        "datasets": {
            n: {"modalities": ["T1"], "cases": (1, 0, 1), "never_had": never} for n in {r.dataset for r in rows}
        },
        **{"matrix": 32, "inplane_mm": 2.0, "epochs": 2, "batch_size": 4, "precision": "32-true", "steps": 9},
        "software": {"pmmsynth": "0", "torch": "0", "python": "3"},
        "floors": {"regression": "d", "copy": "d"},
        "methods": dict.fromkeys({r.method for r in rows} - {"regression", "copy"}, cost),
    }
    folder.mkdir(exist_ok=True)
    (folder / f"seed{seed}.json").write_text(json.dumps(done))
    (folder / f"seed{seed}.csv").write_text(kept.as_text(rows))


@pytest.mark.usefixtures("scripts")
def test_tables_follow_from_the_rows(tmp_path: Path) -> None:
    import tables

    names = {"MM-GAN": 29.0, "PMM-Synth": 31.0, "w/o PFM": 30.0, "w/o PFM, per dataset": 28.0, "regression": 31.0}
    for seed in (0, 1):  # seeds differ by 1 dB: tables show their mean
        rows = [
            score_row(m, c, value + 0.1 * c * (m != "PMM-Synth") + seed, "T1->T1C", "BraTS")
            for m, value in names.items()
            for c in range(6)
        ]
        write_kept(tmp_path, seed, rows, epoch=10.0 + seed, never=("T1C",))
    tables.main(tmp_path)
    text = (tmp_path / "table1.md").read_text()
    assert "31.50 ± 0.00" in text
    assert "w/o PFM, per dataset" not in text, "the ablation has a figure of its own"
    assert (
        "- PSNR: Best of the trained methods in 1 rows: PMM-Synth 1; where it is another, the interval of PMM-Synth's "
        "difference to it includes 0 in 0, and PMM-Synth's mean lies within the own interval of that one in 0. Best "
        "with the floors counted in 1 rows: regression 1; where it is another, the interval of PMM-Synth's difference "
        "to it includes 0 in 0, and PMM-Synth's mean lies within the own interval of that one in 0.\n"
        "  Below a floor: MM-GAN in 1 (BraTS T1->T1C); w/o PFM in 1 (BraTS T1->T1C); PMM-Synth in 1 (BraTS T1->T1C)."
    ) in text
    assert "+1.75 [" in text  # against MM-GAN: 2 dB less 0.25, the mean over six cases
    assert "| BraTS | T1->T1C |" in (tmp_path / "never_had.md").read_text()
    assert (tmp_path / "fig2d.png").read_bytes().startswith(b"\x89PNG")
    assert tables.epoch_seconds(tmp_path)["PMM-Synth"] == 10.5


@pytest.mark.usefixtures("scripts")
def test_each_task_over_all_datasets_has_every_case(tmp_path: Path) -> None:
    """Two cases of A and one of B, of the same name: three cases, and a method that only has A's counts on those."""
    import tables

    rows = [score_row("PMM-Synth", c, p, "T1->T1C", d) for d, c, p in (("A", 0, 30.0), ("A", 1, 31.0), ("B", 0, 35.0))]
    rows += [score_row("regression", r.case[-1:] == "1", 20.0, r.task, r.dataset) for r in rows]
    write_kept(tmp_path, 0, rows)
    tables.main(tmp_path)
    assert "| all | T1->T1C | 3 | **32.00 ± 2.65**" in (tmp_path / "by_task.md").read_text()
    assert not (tmp_path / "never_had.md").exists()


@pytest.mark.usefixtures("scripts")
def test_a_wrong_path_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    import kept
    import tables

    store = make_store(tmp_path / "store", {"A": [("test", ["T1"])]})
    with pytest.raises(SystemExit, match=r"found no seed\*\.json in .*/nowhere; expected what kept\.py wrote"):
        tables.main(tmp_path / "nowhere")
    with pytest.raises(SystemExit, match=r"found no seed\*/evaluation/scores\.jsonl in .*/nowhere; expected OUT"):
        kept.main(store.root, tmp_path / "nowhere", tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.usefixtures("scripts")
@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("FTN, PMM-Synth", ["FTN", "PMM-Synth"]),
        ("PMM-Synth,MM-Synth", ["MM-Synth", "PMM-Synth"]),
        ("PMM-Synth, B = 16, w/o PFM, per dataset", ["w/o PFM, per dataset", "PMM-Synth, B = 16"]),
        ("w/o PFM, PMM-Synth, B = 1", ["w/o PFM", "PMM-Synth, B = 1"]),
    ],
)
def test_methods_are_chosen_by_name_though_some_names_hold_a_comma(only: str, names: list[str]) -> None:
    import comparison

    assert comparison.chosen(only) == names


@pytest.mark.usefixtures("scripts")
def test_an_unknown_method_is_named_before_anything_is_trained() -> None:
    import comparison

    with pytest.raises(SystemExit, match="with 'my'; expected of MM-GAN"):
        comparison.chosen("FTN, my MM-GAN")


@pytest.mark.usefixtures("scripts")
def test_scores_without_a_cost_are_not_kept(tmp_path: Path) -> None:
    """As after a kill between scoring and measuring; costs of other weights are no costs of these."""
    import kept

    store = make_store(tmp_path / "store", {"A": [("test", ["T1", "T2"])]})
    evaluation = tmp_path / "out" / "seed0" / "evaluation"
    evaluation.mkdir(parents=True)
    rows = [score_row(m, 0, 30.0) for m in ("PMM-Synth", "FTN", "MM-GAN", "copy")]
    (evaluation / "scores.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows))
    cost = {"task": "T1->T2", "parameters": 9, "gmacs": 1.0, "ms": 1.0}
    costs = {"PMM-Synth": {"digest": "d", **cost}, "FTN": {"digest": "of before", **cost}}
    (evaluation / "compute.json").write_text(json.dumps(costs))
    with pytest.raises(SystemExit, match=r'no cost of FTN, MM-GAN in .*json; .* with --only "FTN, MM-GAN"'):
        kept.main(store.root, tmp_path / "out", tmp_path / "kept")
    own = [score_row("my method", 0, 30.0)]
    (evaluation / "scores.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in own))
    with pytest.raises(SystemExit, match=r"found scores of my method in .*seed0; expected methods among ENTRIES"):
        kept.main(store.root, tmp_path / "out", tmp_path / "kept")
    assert not list((tmp_path / "kept").iterdir())


@pytest.mark.usefixtures("scripts")
def test_costs_are_of_the_first_seed_that_has_a_method(tmp_path: Path) -> None:
    import comparison_page
    import kept

    for seed, names in enumerate((["FTN"], ["FTN", "PMM-Synth"], ["PMM-Synth"])):
        rows = [score_row(n, c, 30.0 + seed - (n == "FTN"), "T1->T1C") for n in names for c in range(2)]
        write_kept(tmp_path, seed, rows, training=60.0 * (1 + seed))
    text = comparison_page.cost(kept.over_seeds(tmp_path), kept.read_done(tmp_path))
    assert text.startswith("Quality is the mean over the 1 rows of Table 1 that all methods have; the rest is of a")
    assert "| FTN | 1 | 0.00 | 0.50 | 2.0 | 1:00 | 30.00 |" in text
    assert "| PMM-Synth | 1 | 0.00 | 0.50 | 2.0 | 2:00 | 31.00 |" in text


@pytest.mark.usefixtures("scripts")
def test_no_method_is_averaged_over_more_trainings_than_another(tmp_path: Path) -> None:
    import comparison_page
    import kept

    for seed, names in enumerate((["FTN", "PMM-Synth"], ["PMM-Synth"])):
        write_kept(tmp_path, seed, [score_row(n, 0, 30.0 + seed, "T1->T1C") for n in names])
    assert {(s.method, s.psnr) for s in kept.over_seeds(tmp_path)} == {("FTN", 30.0), ("PMM-Synth", 30.0)}
    said = "- Seeds: 0, 1 (PMM-Synth); 0 (FTN). Tables are over 0."
    assert said in comparison_page.setting(kept.read_done(tmp_path))
    (tmp_path / "seed0.json").unlink()
    assert {(s.method, s.psnr) for s in kept.over_seeds(tmp_path)} == {("PMM-Synth", 31.0)}


@pytest.mark.usefixtures("scripts")
def test_the_pace_of_an_epoch_is_that_of_the_quickest_steps(tmp_path: Path) -> None:
    import comparison
    import kept

    lines = [{"global_step": 20, "seconds_per_step": 0.5}, {"global_step": 40, "seconds_per_step": 1.0}]
    text = "\n".join(map(json.dumps, [*lines, {"global_step": 40, "validation_psnr": 1.0}]))
    (tmp_path / "metrics.jsonl").write_text(text + '\n{"global_step": 60, "seco')  # cut short by a kill
    assert comparison.seconds(tmp_path) == pytest.approx(20 * 0.5 + 20 * 1.0)
    assert kept.undisturbed(tmp_path) == pytest.approx(40 * 0.55), "forty steps at the tenth percentile"


@pytest.mark.usefixtures("scripts")
def test_near_the_best_in_two_senses() -> None:
    """Always 0.1 dB behind: the difference has no doubt, and yet the mean lies within what the cases vary."""
    import tables

    rows = [
        score_row(m, c, 30.0 + c + gain, "T1->T1C")
        for m, gain in (("PMM-Synth", 0.0), ("w/o PFM", 0.1), ("copy", -9.0))
        for c in range(6)
    ]
    assert (
        "in 1 rows: w/o PFM 1; where it is another, the interval of PMM-Synth's difference to it includes 0 in 0, and "
        "PMM-Synth's mean lies within the own interval of that one in 1."
    ) in tables.standing(rows)


@pytest.mark.usefixtures("scripts")
def test_tests_and_counts_are_over_the_cases_of_the_table(tmp_path: Path) -> None:
    """FTN has one case less, which is the one that PMM-Synth does badly: it is in neither means nor differences."""
    import tables

    rows = [score_row("PMM-Synth", c, 30.0 if c else 10.0, "T1->T1C") for c in range(3)]
    rows += [score_row("FTN", c, 29.0, "T1->T1C") for c in (1, 2)]
    rows += [score_row("copy", c, 28.0, "T1->T1C") for c in range(3)]
    write_kept(tmp_path, 0, rows)
    table = tables.tables(tmp_path)["table1"]
    assert "| A | T1->T1C | 2 | 29.00 ± 0.00" in table
    assert "| A | T1->T1C | +1.00 [+1.00, +1.00] | +2.00 [+2.00, +2.00] |" in table
    assert "Best of the trained methods in 1 rows: PMM-Synth 1;" in table


@pytest.mark.usefixtures("scripts")
def test_seeds_of_another_budget_or_cohort_do_not_come_together(tmp_path: Path) -> None:
    import kept

    for seed in (0, 1):
        write_kept(tmp_path, seed, [score_row("FTN", 0, 30.0)])
    path = tmp_path / "seed1.json"
    done = json.loads(path.read_text())
    other = {"epochs": 3, "matrix": 64, "datasets": {"A": {**done["datasets"]["A"], "cases": (2, 0, 1)}}}
    for name, value in other.items():
        path.write_text(json.dumps(done | {name: value}))
        with pytest.raises(SystemExit, match=f"found seeds of different {name} in"):
            kept.over_seeds(tmp_path)


@pytest.mark.usefixtures("scripts")
def test_means_of_every_seed_are_over_the_rows_and_cases_all_methods_have(tmp_path: Path) -> None:
    import comparison_page
    import kept

    for seed, names in enumerate((["FTN", "PMM-Synth"], ["PMM-Synth"])):
        rows = [score_row(n, c, 30.0 + seed + c, "T1->T1C") for n in names for c in range(2)]
        rows += [score_row("PMM-Synth", 2, 99.0, "T1->T1C"), score_row("PMM-Synth", 0, 99.0, "T1+T2->FLAIR")]
        write_kept(tmp_path, seed, [*rows, score_row("copy", 0, 9.0, "T1->T1C")])
    text = comparison_page.by_seed(kept.read_kept(tmp_path))
    assert text.splitlines()[0].startswith("Mean of the 1 rows that all methods have.")
    assert text.splitlines()[-2:] == ["| FTN | 30.50 / 0.305 | – |", "| PMM-Synth | 30.50 / 0.305 | 31.50 / 0.315 |"]


@pytest.mark.usefixtures("scripts")
def test_only_times_of_one_run_are_compared(tmp_path: Path) -> None:
    import comparison_page
    import kept

    names = ("MM-GAN", "MM-Synth", "FTN", "PMM-Synth")
    write_kept(tmp_path, 0, [score_row(n, c, 31.0 - (n == "PMM-Synth"), "T1->T1C") for n in names for c in range(2)])
    path = tmp_path / "seed0.json"
    done = json.loads(path.read_text())
    for name, ms, run in (("MM-GAN", 1.0, "one"), ("MM-Synth", 1.9, "one"), ("FTN", 1.0, "other"), (OURS, 2.0, "one")):
        done["methods"][name] = done["methods"][name] | {"ms": ms, "run": run}
    path.write_text(json.dumps(done))
    text = comparison_page.cost(kept.over_seeds(tmp_path), kept.read_done(tmp_path))
    assert "Faster than PMM-Synth by a tenth or more and better: MM-GAN." in text
    assert "Times of FTN were measured in another run: they do not compare." in text


@pytest.mark.usefixtures("scripts")
def test_a_row_without_floors_has_nothing_below_one() -> None:
    """As of a task that no training case teaches: floors cannot be fitted, networks still answer."""
    import tables

    rows = [score_row("PMM-Synth", c, 20.0, "T1->T1C") for c in range(2)]
    rows += [score_row(m, c, p, "T1->T2") for m, p in (("PMM-Synth", 30.0), ("copy", 31.0)) for c in range(2)]
    assert tables.standing(rows).count("Below a floor: PMM-Synth in 1 (A T1->T2).") == 2, "of either measure"


@pytest.mark.usefixtures("scripts")
def test_a_single_case_has_a_difference_without_an_interval() -> None:
    import tables

    rows = [score_row(m, c, p, "T1->T2") for m, p in (("PMM-Synth", 30.0), ("copy", 31.0)) for c in range(2)]
    rows += [score_row(m, 0, p, "T1->T1C") for m, p in (("PMM-Synth", 30.0), ("copy", 28.5))]
    text = tables.against(rows)
    assert "| A | T1->T2 | -1.00 [-1.00, -1.00] |" in text
    assert "| A | T1->T1C | +1.50 |" in text
    assert "| A | T1->T1C | +0.015 |" in text
    assert "mean [95 % interval, of one case none]; * where p < 0.05 by the paired Wilcoxon test" in text


@pytest.mark.usefixtures("scripts")
def test_what_pfm_gains_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two trainings, two datasets of one task, and a task of the second alone; other methods and tasks do not count."""
    import pfm_gain

    monkeypatch.setattr(pfm_gain, "__file__", str(tmp_path / "pfm_gain.py"))
    (tmp_path / "page.md").write_text("# By hand\n")
    gains = {("A", "T1->T1C"): (0.2, 0.4), ("B", "T1->T1C"): (-0.1, 0.1), ("B", "T2->FLAIR"): (0.5, -0.1)}
    for seed in (0, 1):
        rows = []
        for (dataset, task), gain in gains.items():
            for case in range(5):
                tilt = 0.01 * (case - 2)
                rows += [score_row("w/o PFM", case, 30.0 + case, task, dataset)]
                rows += [score_row("PMM-Synth", case, 30.0 + case + gain[seed] + tilt, task, dataset)]
                rows += [score_row("FTN", case, 50.0, task, dataset)]
        rows += [score_row(m, 0, 99.0, "T1->T2", "A") for m in ("w/o PFM", "PMM-Synth")]
        write_kept(tmp_path / "kept", seed, rows)
    alone = [r.model_copy(update={"psnr": 90.0}) for r in rows if r.method == "PMM-Synth"]
    write_kept(tmp_path / "kept", 2, alone)  # a training without one of the two counts nowhere
    pfm_gain.main(tmp_path / "docs.md" / "page.md", {"Phantoms": tmp_path / "kept"})
    text = (tmp_path / "docs.md" / "page.md").read_text()
    assert text.startswith("# By hand\n\nPSNR in dB")
    assert "| mean of 3 rows | seed 0 | seed 1 | all |" in text
    assert "| w/o PFM, PSNR | 32.00 | 32.00 | 32.00 |" in text
    assert "| gain, PSNR | +0.200 | +0.133 | +0.167 |" in text
    assert "| gain, SSIM | +0.0020 | +0.0013 | +0.0017 |" in text
    assert "| T1->T1C | 10 | +0.15 [" in text, "ten cases of two datasets: the mean of 0.3 and 0.0"
    assert "| T2->FLAIR | 5 | +0.20 [" in text
    assert "| mean of a case's tasks | 10 | +0.20 [" in text, "0.3 in A; the mean of 0.0 and 0.2 in B"
    assert "| B | T2->FLAIR | 5 | +0.50 | -0.10 | +0.20 [" in text
    assert "FTN" not in text


@pytest.mark.usefixtures("scripts")
def test_what_pfm_gains_needs_a_training_of_both(tmp_path: Path) -> None:
    import pfm_gain

    write_kept(tmp_path, 0, [score_row("PMM-Synth", 0, 30.0, "T1->T1C")])
    with pytest.raises(
        SystemExit, match=r'no seed in .* with both PMM-Synth and w/o PFM; .*--only "w/o PFM, PMM-Synth"'
    ):
        pfm_gain.section("Phantoms", tmp_path)


@pytest.mark.usefixtures("scripts")
def test_how_far_ids_differ_by_hand() -> None:
    """Four ids, two features: 3 and -3 on one axis, 1 and -1 on the other, shifted alike."""
    import pfm_selectivity

    spread = np.array([[3.0, 0], [-3, 0], [0, 1], [0, -1]]) + np.array([5, 7])
    places, shares = pfm_selectivity.axes_of(spread)
    assert shares == pytest.approx([0.9, 0.1])
    assert np.abs(places) == pytest.approx(np.abs(spread - np.array([5, 7])), abs=1e-12)
    shown = pfm_selectivity.table(["A", "B"], np.array([[30.0, 31.0], [29.004, 29.0]]))
    assert "| A | 30.00 | **31.00** |" in shown
    assert "| B | **29.00** | **29.00** |" in shown
    figure = pfm_selectivity.drawn(["A", "B"], np.array([[30.0, 31.0], [29.0, 29.0]]), places[:2], shares)
    assert [text.get_text() for text in figure.axes[0].texts] == ["+0.00", "+1.00", "+0.00", "+0.00"]


@pytest.mark.usefixtures("scripts")
def test_neighbouring_ids_are_nearly_one_to_the_layers_that_learn_from_them() -> None:
    import pfm_selectivity

    said = pfm_selectivity.before_training(3, seeds=range(3))
    cosine, *rates = map(float, re.findall(r"\d+\.\d+(?:e-\d+)?|\d+e-\d+", said))
    assert 0.9 < cosine < 1
    assert len(rates) == 3
    assert rates[0] > 30 * rates[1] > 60 * rates[2] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("scripts")
def test_wrong_ids_of_a_network_that_heeds_none_cost_nothing(tmp_path: Path) -> None:
    import pfm_selectivity

    store = make_store(
        tmp_path / "store",
        {"A": [(s, ["T1", "T1C"]) for s in ("train", "test")]}
        | {"B": [("train", ["T1", "T2"]), ("test", ["T1", "T1C"])]},
    )
    network, card = load_model(make_model(tmp_path / "model"))
    told = pfm_selectivity.wrong_ids(store, network, card, "test")
    assert told.shape == (2, 2)
    assert np.ptp(told, axis=1).min() > 1e-3, "this one heeds them"
    for part in network.modules():
        if isinstance(part, Modulation):
            for parameter in part.parameters():
                parameter.requires_grad_(False).zero_()
    told = pfm_selectivity.wrong_ids(store, network, card, "test")
    assert np.ptp(told, axis=1) == pytest.approx([0, 0])
