"""DICOM series -> a BIDS tree of NIfTI: voxels by dcm2niix, names by what each series was recognized as."""

import hashlib
import json
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dcm2niix
import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from pmmsynth.atomic import only_writer, replacing, sha256, sweep, write_json
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, NothingToDo
from pmmsynth.intake.bids import FORMS
from pmmsynth.intake.dicom import Series, series_under
from pmmsynth.intake.diffusion import trace_and_adc
from pmmsynth.jobs import Outcome, map_cases
from pmmsynth.modality import KNOWN, ordered

RECIPE = 2
"""Raised whenever the same files come out differently."""
DIRECTIONS = 3
"""Of diffusion that average out its anisotropy."""
KEPT = (
    *("Manufacturer", "ManufacturersModelName", "MagneticFieldStrength", "SeriesDescription", "ProtocolName"),
    *("ImageType", "EchoTime", "RepetitionTime", "InversionTime", "FlipAngle", "SliceThickness"),
    "ContrastBolusIngredient",
)
"""Of the sidecar of dcm2niix: nothing in them names the patient."""
OPTIONS = ("-b", "y", "-ba", "y", "-z", "n", "-g", "i", "-w", "1", "-f", "image")
"""A sidecar without what names the patient; no compression; no settings of the user's own."""
AFTER = 600
"""Seconds before a conversion counts as hung."""


@dataclass(frozen=True)
class Study:
    """One patient's series of one study."""

    subject: str
    session: str
    series: tuple[Series, ...]

    @property
    def name(self) -> str:
        return f"{self.subject}_{self.session}"


@dataclass(frozen=True)
class Converted:
    """What became of a study: images written now, those that were up to date, and what to know of them."""

    name: str
    new: tuple[Path, ...]
    kept: tuple[Path, ...]
    remarks: tuple[str, ...]


def convert(
    root: Path,
    out: Path,
    *,
    jobs: int = 1,
    cluster: str | None = None,
    overwrite: bool = False,
    others: Set[Path] | None = None,
    reporter: Reporter,
) -> Outcome[Converted]:
    """Write every recognized series below `root` as NIfTI with a sidecar into the BIDS tree `out`.

    Patients and studies get labels made of digests of their identifiers; nothing that names them is written. Several
    series of one sequence become run-1, run-2, ... in the order of their numbers, after them those whose times speak
    against their name. Raw diffusion becomes its trace image and ADC, unless the scanner's own can be had. What was
    made from the same files is left as it is, as is what others made; what was made from `root` before and is not
    made any more is removed.

    Args:
        root: A folder of DICOM files, in whatever order and depth.
        out: The tree.
        jobs: Studies at a time, in as many processes.
        cluster: Address of a Dask scheduler whose workers do it instead.
        overwrite: Convert again what is there, and replace what others made.
        others: Images that others made; if None, all that were not made from `root`.
        reporter: Where to speak.

    Raises:
        BadInput: If there is no such folder, or one below it cannot be read.
        UsageError: If another process writes to `out`.
        NothingToDo: If no MR series is in it.
    """
    if not root.is_dir():
        raise BadInput(f"no folder at {root}", "a folder of DICOM files", "check the path")
    studies, broken = studies_under(root)
    for path in broken:
        reporter.warn(f"found {path}: not readable; expected DICOM; copy or export it again", path=path)
    if not studies:
        raise NothingToDo(f"found no DICOM series of MR in {root}; expected at least one; check the path")
    with only_writer(out):
        sweep(out)
        outcome = map_cases(
            partial(_convert_study, out=out.absolute(), source=_source(root), overwrite=overwrite, others=others),
            studies,
            [study.name for study in studies],
            label="convert",
            jobs=jobs,
            cluster=cluster,
            reporter=reporter,
        )
        if outcome.results:
            _describe(out)
    for done in outcome.results:
        for remark in done.remarks:
            reporter.remark(f"{done.name}: {remark}", case=done.name)
    new, kept = (sum(len(getattr(done, name)) for done in outcome.results) for name in ("new", "kept"))
    reporter.say(
        f"{new} images written, {kept} up to date, {len(outcome.failures)} studies failed: {out}", new=new, kept=kept
    )
    return outcome


def studies_under(root: Path) -> tuple[list[Study], list[Path]]:
    """The MR studies below a folder, and the files that cannot be read."""
    series, broken = series_under(root.absolute())
    groups: dict[tuple[str, str], list[Series]] = defaultdict(list)
    for one in series:
        groups[one.subject, one.session].append(one)
    return [Study(*key, tuple(members)) for key, members in groups.items()], broken


def usable(study: Sequence[Series]) -> tuple[list[Series], list[str]]:
    """The series of a study to convert, those without a remark first, and what to say of the others of ours.

    Raises:
        BadInput: If identifiers are those of two patients.
    """
    if len(people := {person for series in study for person in series.people}) > 1:
        raise BadInput(
            f"{study[0].files[0].parent}: {len(people)} names or birth dates under one patient identifier",
            "one patient",
            "separate them, or give each an identifier of its own",
        )
    chosen, remarks = [], []
    for series in study:
        if series.modality and (problem := series.problem()):
            remarks.append(f"series {series.number} ({series.modality}) left out: {problem}")
        elif series.modality:
            chosen.append(series)
            if series.remark:
                remarks.append(f"series {series.number}: {series.remark}")
    return sorted(chosen, key=lambda series: series.remark is not None), remarks


def _convert_study(study: Study, *, out: Path, source: str, overwrite: bool, others: Set[Path] | None) -> Converted:
    def is_taken(path: Path) -> bool:
        return not overwrite and (_is_foreign(path, source) if others is None else path in others)

    chosen, remarks = usable(study.series)
    new: list[Path] = []
    kept: list[Path] = []
    given = set()
    for modality in reversed(ordered(s.modality for s in chosen if s.modality)):  # ADC first: DWI may have to give it
        same = [s for s in chosen if s.modality == modality]
        wants_adc = modality == "DWI" and "ADC" not in given
        for number, series in enumerate(same, 1):
            run = f"run-{number}_" if len(same) > 1 else ""
            names = (modality, "ADC") if wants_adc else (modality,)
            paths = {name: _target(out, study, name, run) for name in names}
            try:
                made, there, said = _convert_series(series, modality, paths, source, overwrite, is_taken)
            except BadInput as error:  # an odd series does not spoil the others
                reason = f"{error.found}; expected {error.expected}"
                remarks.append(f"series {series.number} ({modality}) left out: {reason}")
                continue
            new += made
            kept += there
            remarks += said
            given.add(modality)
    if not new and not kept:
        reasons = [*remarks, *(f"series {s.number}: {s.why}" for s in study.series if not s.modality)]
        raise BadInput(
            f"{study.name}: no usable sequence among {len(study.series)} series ({'; '.join(reasons)})",
            f"one of {', '.join(KNOWN)}",
            "export the study again; convert by hand what is named otherwise",
        )
    gone = _remove_earlier(out / study.subject / study.session, {*new, *kept}, source)
    remarks += [f"{name} removed: the series no longer give it" for name in gone]
    return Converted(study.name, tuple(new), tuple(kept), tuple(remarks))


def _convert_series(
    series: Series,
    modality: str,
    paths: dict[str, Path],
    source: str,
    overwrite: bool,
    is_taken: Callable[[Path], bool],
) -> tuple[list[Path], list[Path], list[str]]:
    """Write the image of a series, and the ADC made with it if `paths` has a place for it that is not taken.

    Returns:
        Images written, those that were up to date, and what to know of them.

    Raises:
        BadInput: If it does not become one image, or would replace one that others made.
    """
    wants_adc = len(paths) > 1
    digest = _digest(series, wants_adc)
    if not overwrite and _made_of(paths[modality], digest):
        return [], [path for path in paths.values() if _made_of(path, digest)], _said_then(paths[modality])
    if is_taken(paths[modality]):
        raise BadInput(
            f"{paths[modality].name} there from elsewhere", "a study in one folder, or --overwrite", "choose"
        )
    if wants_adc and is_taken(paths["ADC"]):
        return _convert_series(series, modality, {modality: paths[modality]}, source, overwrite, is_taken)
    images, said = _images(series, modality, wants_adc)
    said = [f"series {series.number}: {text}" for text in said]
    for name, (image, sidecar) in images.items():  # the series' own image last: it says that all is there
        _write(paths[name], image, sidecar | {"Conversion": _conversion(series, digest, source, said)})
    return [paths[name] for name in images], [], said


def _images(
    series: Series, modality: str, wants_adc: bool
) -> tuple[dict[str, tuple[nib.Nifti1Image, dict[str, object]]], list[str]]:
    """The image of a series, after the ADC made with it if that is wanted and can be; and what to know of them."""
    image, sidecar, b_values = _dcm2niix(series)
    if image.get_data_dtype().fields:
        raise BadInput("an image in colour", "grey levels", "leave the series out")
    data = np.asarray(image.dataobj, dtype=np.float32)
    if modality != "DWI" or data.ndim == 3:
        if data.ndim != 3:
            raise BadInput(
                f"{data.ndim}-D, shape {data.shape}",
                "one volume",
                "export one volume, or leave the series out",
            )
        image.header["descrip"] = image.header["aux_file"] = b""  # dcm2niix writes times and comments there
        return {modality: (image, sidecar)}, []
    if b_values is None or len(b_values) != data.shape[3]:
        raise BadInput(
            f"{data.shape[3]} diffusion volumes without b-values",
            "a b-value for each",
            "export the trace and ADC images of the scanner",
        )
    trace, adc, directions = trace_and_adc(data, b_values)
    said = [f"DWI is the mean of {directions} volumes at b = {b_values.max():g} s/mm2"]
    if directions < DIRECTIONS:
        said.append(f"fewer than {DIRECTIONS} directions do not average out the anisotropy of white matter")
    found = {"DWI": (_like(trace, image), sidecar)}
    if wants_adc and adc is None:
        said.append("no volume without diffusion weighting, so no ADC")
    elif wants_adc and adc is not None:
        found = {"ADC": (_like(adc, image), sidecar | {"Units": "mm2/s"})} | found
    return found, said


def _dcm2niix(series: Series) -> tuple[nib.Nifti1Image, dict[str, object], NDArray[np.float64] | None]:
    """The one image that dcm2niix makes of a series, its sidecar and its b-values, read into memory."""
    with tempfile.TemporaryDirectory() as folder:
        inside, outside = Path(folder, "in"), Path(folder, "out")
        inside.mkdir()
        outside.mkdir()
        for number, path in enumerate(series.files):
            (inside / f"{number:06d}.dcm").symlink_to(path)
        command = [dcm2niix.bin, *OPTIONS, "-o", str(outside), str(inside)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=AFTER, check=False)
        except subprocess.TimeoutExpired as error:
            found = f"dcm2niix still at it after {AFTER} s"
            raise BadInput(found, "an image in seconds", "try again; else leave the series out") from error
        images = sorted(outside.glob("*.nii"))
        if done.returncode or len(images) != 1:
            reason = _reason(done.stdout + done.stderr).replace(folder, "") or f"exit code {done.returncode}"
            raise BadInput(
                f"dcm2niix makes {len(images)} images of it ({reason})",
                "one",
                "export the series again, alone",
            )
        beside = images[0].with_suffix(".json")
        said = json.loads(beside.read_text(encoding="utf-8", errors="replace")) if beside.is_file() else {}
        values = images[0].with_suffix(".bval")
        image = nib.Nifti1Image.from_bytes(images[0].read_bytes())
        return (
            image,
            {name: said[name] for name in KEPT if name in said},
            np.loadtxt(values, ndmin=1) if values.is_file() else None,
        )


def _reason(log: str) -> str:
    """The line of dcm2niix that says why: its first warnings are of what any series may lack."""
    for sign in ("rror", "not stacked", "arning"):
        if lines := [line for line in log.splitlines() if sign in line]:
            return " ".join(lines[-1].partition(". Use ")[0].split())
    return ""


def _target(out: Path, study: Study, modality: str, run: str) -> Path:
    folder, entity, suffix = FORMS[modality]
    return out / study.subject / study.session / folder / f"{study.name}_{entity}{run}{suffix}.nii.gz"


def _write(path: Path, image: nib.Nifti1Image, sidecar: dict[str, object]) -> None:
    """Image and sidecar, complete or absent; never an old image beside a new sidecar."""
    with replacing(path) as temporary:
        nib.save(image, temporary)
        write_json(_sidecar(path), sidecar)
        path.unlink(missing_ok=True)


def _like(data: NDArray[np.float32], image: nib.Nifti1Image) -> nib.Nifti1Image:
    made = nib.Nifti1Image(data, image.affine)
    made.header.set_xyzt_units("mm")
    return made


def _conversion(series: Series, digest: str, source: str, remarks: Sequence[str]) -> dict[str, object]:
    return {
        "Digest": digest,
        "Source": source,
        "Recognized": series.why,
        "SeriesNumber": series.number,
        "Files": len(series.files),
        "Remarks": list(remarks),
        "Software": f"pmmsynth {version('pmmsynth')}, dcm2niix {version('dcm2niix')}",
    }


def _digest(series: Series, wants_adc: bool) -> str:
    """Of all that decides how a series comes out."""
    text = json.dumps([RECIPE, series.modality, wants_adc, sorted(sha256(path) for path in series.files)])
    return hashlib.sha256(text.encode()).hexdigest()


def _source(root: Path) -> str:
    """What stands for the folder in sidecars; its name may be a patient's."""
    return hashlib.sha256(str(root.absolute()).encode("utf-8", "surrogatepass")).hexdigest()[:10]


def _remove_earlier(folder: Path, there: Set[Path], source: str) -> list[str]:
    """Remove a study's images made of the same source that are no longer `there`, never the files of others."""
    gone = []
    for beside in sorted(folder.rglob("*.json")):
        image, said = beside.with_suffix(".nii.gz"), _said_of(beside)
        if said and said.get("Source", source) == source and image not in there:
            image.unlink(missing_ok=True)
            beside.unlink()
            gone.append(image.name)
    return gone


def _made_of(path: Path, digest: str) -> bool:
    return path.is_file() and _said_of(_sidecar(path)).get("Digest") == digest


def _is_foreign(path: Path, source: str) -> bool:
    """Whether an image was not made from this source."""
    said = _said_of(_sidecar(path))
    return path.is_file() and (not said or said.get("Source", source) != source)


def _said_then(path: Path) -> list[str]:
    return [str(text) for text in _said_of(_sidecar(path)).get("Remarks", ())]


def _said_of(sidecar: Path) -> dict[str, Any]:
    """What a sidecar says of the conversion; nothing if the image beside it is not ours."""
    try:
        said = json.loads(sidecar.read_bytes())["Conversion"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return said if isinstance(said, dict) else {}


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".nii.gz") + ".json")


def _describe(out: Path) -> None:
    """`dataset_description.json` of a BIDS tree, once."""
    path = out / "dataset_description.json"
    if not path.is_file():
        made_by = {"Name": "pmmsynth", "Version": version("pmmsynth")}
        write_json(path, {"Name": "Converted from DICOM", "BIDSVersion": "1.10.0", "GeneratedBy": [made_by]})
