"""The command line in process: exit codes, one clear line for each wrong thing, no traceback, nothing half done."""

import gzip
import json
import re

import numpy as np
import pytest

from model_phantoms import CENTRE, SHAPE, affine_for, brain, make_model, save, save_case
from pmmsynth import infer, intake
from pmmsynth.cli import main
from pmmsynth.model import CARD, WEIGHTS

VERBS = ("check", "convert", "simulate", "prepare", "train", "synthesize", "evaluate", "demo")


@pytest.fixture(scope="module")
def shared_model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("cli") / "model")


@pytest.fixture
def call(capsys):
    def run(*arguments):
        code = main([str(a) for a in arguments])
        got = capsys.readouterr()
        return code, got.out, got.err

    return run


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def one_line(err, *parts):
    """Exactly one line, of found / expected / what to do, naming what is wrong."""
    assert len(err.splitlines()) == 1, err
    assert re.search(r"(found|Error:) .*expected .*; ", err)
    for part in parts:
        assert re.search(part, err), err


# --- a file that is not what it should be ---------------------------------------------------------------------------

T2 = brain("T2")
NAN = T2.astype(np.float32)
NAN[20, 23, 5] = np.nan
SHEARED, DEGENERATE, FAR = affine_for(), affine_for(), affine_for()
SHEARED[0, 1] = 0.4
DEGENERATE[:3, 2] = 0
FAR[1, 3] += 400


def cut(path):
    save(path, T2)
    path.write_bytes(path.read_bytes()[:2000])


FILES = {
    "not nifti": (lambda p: p.write_bytes(b"hello"), "not readable"),
    "gzip of text": (lambda p: p.write_bytes(gzip.compress(b"hello " * 200)), "not readable"),
    "empty": (lambda p: p.write_bytes(b""), "not readable"),
    "truncated gzip": (cut, "not readable"),
    "nan": (lambda p: save(p, NAN), "1 NaN or infinite voxels"),
    "constant": (lambda p: save(p, np.full(SHAPE, 3, np.int16)), "every voxel is 3"),
    "4-D": (lambda p: save(p, np.stack([T2, T2], -1)), r"4-D, shape \(40, 46, 10, 2\)"),
    "sheared": (lambda p: save(p, T2, SHEARED), "sheared affine"),
    "degenerate": (lambda p: save(p, T2, DEGENERATE), "voxel size"),
    "two patients": (
        lambda p: save(p, brain("T2", centre=CENTRE + np.array([12, 16, 0]))),
        "do not look like one patient",
    ),
    "no overlap": (lambda p: save(p, T2, FAR), "no overlap"),
    "skull": (lambda p: save(p, (T2 + 5).astype(np.int16)), "t1.nii.gz|looks like a head with skull"),
}
AS_SECOND = [k for k in FILES if k != "skull"]


@pytest.mark.parametrize("kind", AS_SECOND)
@pytest.mark.parametrize("way", ["folder", "input"])
def test_synthesize_refuses_a_bad_file(call, shared_model, tmp_path, kind, way):
    spoil, found = FILES[kind]
    folder = save_case(tmp_path / "in/P7")
    spoil(folder / "t2.nii.gz")
    pairs = [f"--input={n}={folder / n}.nii.gz" for n in ("t1", "t2")]
    place = [tmp_path / "in"] if way == "folder" else pairs
    code, _, err = call("synthesize", shared_model, *place, "--dataset", "A", "--out", tmp_path / "out")
    assert code == 4
    one_line(err, found, r"t2\.nii\.gz", "^P7: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", AS_SECOND)
def test_prepare_refuses_a_bad_file(call, tmp_path, kind):
    spoil, found = FILES[kind]
    spoil(save_case(tmp_path / "in/P7") / "t2.nii.gz")
    code, _, err = prepare(call, tmp_path)
    assert code == 4
    one_line(err, found, r"t2\.nii\.gz", "^A/P7: ")
    assert not list((tmp_path / "store").rglob("*.npy"))
    assert not list((tmp_path / "store").rglob(".writing-*"))


def test_a_head_with_skull_as_the_reference(call, shared_model, tmp_path):
    FILES["skull"][0](tmp_path / "t1.nii.gz")
    code, _, err = synthesize(call, shared_model, tmp_path, f"--input=t1={tmp_path}/t1.nii.gz")
    assert code == 4
    one_line(err, r"t1\.nii\.gz: no background", "strip the skull first")


def prepare(call, tmp_path, table='name = "A"\nroot = "in"\nlayout = "brats"', *options):
    (tmp_path / "cohorts.toml").write_text(f"[[dataset]]\n{table}\n")
    return call(
        *("prepare", tmp_path / "cohorts.toml", "--out", tmp_path / "store", "--matrix", 48),
        *options,
    )


def synthesize(call, model, tmp_path, *arguments, dataset="A"):
    style = ["--dataset", dataset] if dataset else []
    return call("synthesize", model, *arguments, *style, "--out", tmp_path / "out")


# --- a request that makes no sense ----------------------------------------------------------------------------------

SYNTHESIZE = {  # arguments, exit code, what the line says
    "neither": ([], 2, "found both or neither of CASES and --input"),
    "both": (["{in}", "--input", "t1=x"], 2, "found both or neither"),
    "no pair": (["--input", "x.nii.gz"], 2, "expected MODALITY=PATH"),
    "modality name": (["--input", "t-1=x.nii.gz"], 2, "found modality 't-1'"),
    "unknown to the model": (["--input", "t1={t1}", "--input", "flaire={t2}"], 2, "found modality FLAIRE; .* T1, T2"),
    "twice": (["--input", "t1={t1}", "--input", "t1w={t1}"], 2, "found T1 twice"),
    "unknown target": (["{in}", "--targets", "swi"], 2, "found modality SWI"),
    "no target": (["{in}", "--targets", ""], 2, "found modality ''"),
    "wrong dataset": (["{in}", "--dataset", "Z"], 2, "found dataset 'Z'; .* A, B"),
    "no dataset": (["{in}", "--no-dataset"], 2, "found no --dataset; .* A, B"),
    "device": (["{in}", "--device", "abacus"], 2, "found device 'abacus'"),
    "one image": (["{t1}"], 2, "found one image"),
    "split of a folder": (["{in}", "--split", "test"], 2, "only a manifest has splits"),
    "subject of a folder": (["{in}", "--subject", "x"], 2, "--subject with CASES"),
    "missing folder": (["{in}/nowhere"], 4, "nothing at .*nowhere"),
    "missing file": (["--input", "t1={in}/nowhere.nii.gz"], 4, r"no file at .*nowhere\.nii\.gz"),
    "mha": (["--input", "t1={in}/scan.mha"], 4, r"scan\.mha: not a \.nii or \.nii\.gz name"),
    "no manifest": (["{in}/notes.txt"], 4, r"notes\.txt, line 1"),
    "empty folder": (["{in}/empty"], 3, "found no case in .*empty"),
}


@pytest.mark.parametrize("kind", SYNTHESIZE)
def test_synthesize_says_what_is_wrong(call, shared_model, tmp_path, kind):
    folder = save_case(tmp_path / "in/P7")
    (tmp_path / "in/empty").mkdir()
    for name in ("notes.txt", "scan.mha"):
        (tmp_path / "in" / name).write_text("hello\n")
    arguments, code, found = SYNTHESIZE[kind]
    places = {"in": tmp_path / "in", "t1": folder / "t1.nii.gz", "t2": folder / "t2.nii.gz"}
    filled = [re.sub(r"\{(\w+)\}", lambda m: str(places[m[1]]), a) for a in arguments if a != "--no-dataset"]
    dataset = None if {"--dataset", "--no-dataset"} & set(arguments) else "A"
    got, _, err = synthesize(call, shared_model, tmp_path, *filled, dataset=dataset)
    assert got == code
    assert len(err.splitlines()) == 1
    assert err.startswith(("pmmsynth: found", "nowhere:", "case:", "in:", "scanmha:", "P7:")), err
    assert re.search(found, err), err
    assert not (tmp_path / "out").exists()


def test_nothing_missing_is_code_3(call, shared_model, tmp_path):
    pairs = [f"--input={m}={save(tmp_path / f'{m}.nii.gz', brain(m))}" for m in ("T1", "T2", "T1C", "FLAIR", "ADC")]
    code, _, err = synthesize(call, shared_model, tmp_path, *pairs)
    assert code == 3
    one_line(err, "found all sequences in every case")


def test_one_output_name_for_two_cases_is_code_4(call, shared_model, tmp_path):
    for name in ("a-1", "a1"):
        save_case(tmp_path / "in" / name)
    code, _, err = synthesize(call, shared_model, tmp_path, tmp_path / "in")
    assert code == 4
    one_line(err, "a-1 and .*a1: one output name")


MODELS = {
    "no folder": (lambda f: f.rename(f.with_name("elsewhere")), f"no {CARD} in"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), f"no {WEIGHTS} in"),
    "cut": (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:999]), f"{WEIGHTS}: not the bytes"),
    "card": (lambda f: (f / CARD).write_text("{}"), rf"{CARD}: \w+: Field required"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_damaged_model(call, tmp_path, kind):
    model = make_model(tmp_path / "model")
    spoil, found = MODELS[kind]
    spoil(model)
    save_case(tmp_path / "in/P7")
    code, _, err = synthesize(call, model, tmp_path, tmp_path / "in")
    assert code == 4
    one_line(err, found)
    assert not (tmp_path / "out").exists()


BRATS = 'name = "A"\nroot = "in"\nlayout = "brats"'
TRAIN, TEST = 'split = {train = ["*"]}', 'split = {test = ["*"], train = []}'
TWO = f'{BRATS}\n{TRAIN}\n[[dataset]]\nname = "B"\nroot = "in"\nlayout = "brats"\n{TEST}'
PREPARE = {
    "missing folder": ('name = "A"\nroot = "nowhere"\nlayout = "brats"', [], 4, "dataset A: no folder .*nowhere"),
    "empty dataset": ('name = "A"\nroot = "empty"\nlayout = "brats"', [], 4, "dataset A: no case in"),
    "split leak": (TWO, [], 4, "found patient .* in splits test, train"),
    "unknown modality": (
        'name = "A"\nroot = "in"\nlayout = "pattern"\nimage = "{case}/{modality}.nii.gz"',
        [],
        4,
        r"odd\.nii\.gz: unknown modality name 'odd'",
    ),
    "unknown key": (f"{BRATS}\nskul_stripped = true", [], 4, "unknown key .*; did you mean skull_stripped"),
    "not toml": ("name = ", [], 4, r"cohorts\.toml: "),
    "unknown extractor": (f'{BRATS}\nextractor = "bet"', [], 4, "extractor: Input should be 'deepbet'"),
    "matrix": (BRATS, ["--matrix", 50], 2, "matrix 50"),
}


@pytest.mark.parametrize("kind", PREPARE)
def test_prepare_says_what_is_wrong(call, tmp_path, kind):
    table, options, code, found = PREPARE[kind]
    folder = save_case(tmp_path / "in/P7")
    if kind == "unknown modality":
        save(folder / "odd.nii.gz", T2)
    (tmp_path / "empty").mkdir()
    got, _, err = prepare(call, tmp_path, table, *options)
    assert got == code
    one_line(err, found, "^pmmsynth: ")
    assert not (tmp_path / "store").exists()


def test_prepare_without_a_cohort_file(call, tmp_path):
    code, _, err = call("prepare", tmp_path / "cohorts.toml", "--out", tmp_path / "store")
    assert code == 4
    one_line(err, r"no cohort file at .*cohorts\.toml")


def test_train_and_evaluate_without_a_store(call, tmp_path):
    for verb in ("train", "evaluate"):
        code, _, err = call(verb, tmp_path / "store", "--out", tmp_path / "out")
        assert code == 4
        one_line(err, r"no store\.json in .*store")
    assert files(tmp_path) == []
    (tmp_path / "store").mkdir()
    (tmp_path / "store/store.json").write_text("{}")
    for verb in ("train", "evaluate"):
        code, _, err = call(verb, tmp_path / "store", "--out", tmp_path / "out")
        assert code == 4
        one_line(err, r"store/store\.json: matrix: Field required")
    assert files(tmp_path) == ["store/store.json"]


# --- all done, some failed, a fault of ours -------------------------------------------------------------------------


def test_some_failed_is_code_5_and_the_rest_is_done(call, shared_model, tmp_path):
    for name in ("a", "b", "c"):
        save_case(tmp_path / "in" / name)
    cut(tmp_path / "in/b/t2.nii.gz")
    code, out, err = synthesize(call, shared_model, tmp_path, tmp_path / "in", "--targets", "flair")
    assert code == 5
    one_line(err, "^b: ", r"in/b/t2\.nii\.gz: not readable")
    assert f"2 volumes written, 0 kept, 1 cases failed: {tmp_path / 'out'}" in out
    assert files(tmp_path / "out") == [
        "dataset_description.json",
        *(f"sub-{n}/anat/sub-{n}_desc-synth_FLAIR{e}" for n in "ac" for e in (".json", ".nii.gz")),
    ]
    assert prepare(call, tmp_path)[0] == 5


def test_all_done_is_code_0_and_again(call, shared_model, tmp_path):
    save_case(tmp_path / "in/P7")
    for written, kept in ((3, 0), (0, 3)):
        code, out, err = synthesize(call, shared_model, tmp_path, tmp_path / "in")
        assert (code, err) == (0, "")
        assert f"{written} volumes written, {kept} kept, 0 cases failed" in out
    assert prepare(call, tmp_path)[0] == 0
    code, out, _ = prepare(call, tmp_path)
    assert (code, "all 1 cases up to date" in out) == (0, True)


def broken(*arguments, **options):
    raise ZeroDivisionError("we divided\nby zero")


def test_a_fault_of_ours_is_code_70(call, shared_model, tmp_path, monkeypatch):
    save_case(tmp_path / "in/P7")
    monkeypatch.setattr(infer.synthesizer, "predict", broken)
    code, _, err = synthesize(call, shared_model, tmp_path, tmp_path / "in")
    assert code == 70
    assert re.fullmatch(r"P7: unexpected ZeroDivisionError in test_cli\.py, line \d+: we divided by zero", err.strip())
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(intake, "find_cases", broken)
    code, _, err = synthesize(call, shared_model, tmp_path, tmp_path / "in")
    assert code == 70
    assert "ZeroDivisionError" in err
    assert err.splitlines()[-1] == "pmmsynth: a fault of the program; please report the lines above"


def short(*arguments, **options):
    raise MemoryError("Unable to allocate\n9 GiB")


def test_too_little_memory_is_one_line(call, shared_model, tmp_path, monkeypatch):
    save_case(tmp_path / "in/P7")
    monkeypatch.setattr(intake, "find_cases", short)
    code, _, err = synthesize(call, shared_model, tmp_path, tmp_path / "in")
    assert (code, err) == (
        4,
        "pmmsynth: found too little memory (Unable to allocate 9 GiB); expected enough; ask for less\n",
    )


@pytest.mark.parametrize(
    ("error", "code"), [(OSError(13, "Permission denied", "out/x"), 4), (KeyboardInterrupt(), 130)]
)
def test_the_machine_and_the_user_can_stop_us(call, shared_model, tmp_path, monkeypatch, error, code):
    def stop(*arguments):
        raise error

    monkeypatch.setattr(intake, "find_cases", stop)
    got, _, err = synthesize(call, shared_model, tmp_path, tmp_path)
    assert got == code
    if code == 4:
        one_line(err, "Permission denied: 'out/x'")


# --- how it speaks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_help(call, verb):
    code, out, err = call(verb, "--help")
    assert (code, err) == (0, "")
    assert f"pmmsynth {verb}" in out
    assert "--quiet" in out


def test_help_of_all(call):
    code, out, _ = call("--help")
    assert code == 0
    assert all(verb in out for verb in VERBS)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sythesize"],
        ["synthesize"],
        ["prepare", "x"],
        ["train", "x", "--out", "y", "--preset", "huge"],
        ["prepare", "x", "--out", "y", "--matrix", "many"],
        ["evaluate", "--frobnicate"],
    ],
)
def test_wrong_usage_is_code_2(call, arguments):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert "pmmsynth" in err
    assert "Traceback" not in err


def spoken(call, shared_model, tmp_path, option):
    """What prepare, train --dry-run and synthesize say, on one good case and one bad."""
    for name in ("a", "b", "c", "d"):
        save_case(tmp_path / "in" / name)
    cut(tmp_path / "in/b/t2.nii.gz")
    got = [
        prepare(call, tmp_path, BRATS, option),
        call("train", tmp_path / "store", "--out", tmp_path / "run", "--preset", "tiny", "--dry-run", option),
        synthesize(call, shared_model, tmp_path, tmp_path / "in", option),
        synthesize(call, shared_model, tmp_path, tmp_path / "in", option),
    ]
    assert [code for code, _, _ in got] == [5, 0, 5, 5]
    return got


def test_quiet_prints_nothing_but_errors(call, shared_model, tmp_path):
    got = spoken(call, shared_model, tmp_path, "--quiet")
    assert [out for _, out, _ in got] == ["", "", "", ""]
    for number in (0, 2, 3):
        assert "b/t2.nii.gz" in got[number][2]


def test_json_prints_only_json(call, shared_model, tmp_path):
    got = spoken(call, shared_model, tmp_path, "--json")
    assert [err for _, _, err in got] == ["", "", "", ""]
    said = [[json.loads(line) for line in out.splitlines()] for _, out, _ in got]
    assert {k: said[0][-1][k] for k in ("prepared", "up_to_date", "failed")} == {
        "prepared": 3,
        "up_to_date": 0,
        "failed": 1,
    }
    assert "architecture" in said[1][-1]["message"]
    assert [(s[-1]["new"], s[-1]["kept"]) for s in said[2:]] == [(9, 0), (0, 9)]
    for lines in (said[0], said[2], said[3]):
        assert [w["case"] for w in lines if "not readable" in w.get("warning", "")] in (["b"], ["A/b"])
