"""The pipeline: paint the atlas, grow a head, scan it with a site's protocol, write the case; for all cases."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pmmsynth.atomic import only_writer, refuse_other_things, sweep, write_json
from pmmsynth.console import Reporter
from pmmsynth.errors import BadInput, NothingToDo, UsageError
from pmmsynth.jobs import Outcome, map_cases
from pmmsynth.simulate.anatomy import Sampled, grow_head, load_atlas
from pmmsynth.simulate.contrast import acquire, measure_adc
from pmmsynth.simulate.layout import COHORTS, LAYOUTS, SimulatedCase, write_case, write_cohorts
from pmmsynth.simulate.pathology import labels, paint
from pmmsynth.simulate.sheet import write_sheet
from pmmsynth.simulate.sites import SITES, Site
from pmmsynth.simulate.tissue import TABLE, Tissue, of_patient

RECORD = "simulation.json"
Scalar = TypeVar("Scalar", bound=np.generic)


def simulate(
    out: Path,
    *,
    cases: int | Mapping[str, int],
    seed: int,
    jobs: int = 1,
    cluster: str | None = None,
    overwrite: bool = False,
    reporter: Reporter,
) -> Outcome[Path]:
    """Write simulated datasets with known truth below `out`, each in its own folder layout.

    Beside the datasets it writes `cohorts.toml` (input of `prepare`), `simulation.json` (seed and protocols) and one
    contact sheet per dataset. Cases already there are kept, so a killed run resumes.

    Args:
        out: Folder; made if it does not exist.
        cases: Cases per dataset, or dataset name -> number of cases (of TTG, TTI, BraTS, ISLES).
        seed: Case k of a dataset depends on the seed, the dataset's name and k, on nothing else.
        jobs: Cases at a time, in as many processes.
        cluster: Address of a Dask scheduler whose workers do it instead.
        overwrite: Make existing cases again, and `cohorts.toml`, which else is kept if somebody changed it.
        reporter: Where progress goes.

    Returns:
        The folders of the cases written, and the failures.

    Raises:
        UsageError: A number of cases below one, an unknown dataset, or `out` holds cases of another seed, or files of
            something else, or another process writes there.
        NothingToDo: Every case exists, with its sheet and `cohorts.toml`.
    """
    wanted = dict.fromkeys(SITES, cases) if isinstance(cases, int) else dict(cases)
    _check(out, wanted, seed)
    todo = [
        Job(out.absolute(), name, number, seed)
        for name, count in wanted.items()
        for number in range(1, count + 1)
        if overwrite or not LAYOUTS[name].is_complete(out / name, LAYOUTS[name].case_name(number))
    ]
    kept = (COHORTS, *(f"{name}.png" for name in wanted))
    if not todo and all((out / name).is_file() for name in kept):
        raise NothingToDo(f"found all {sum(wanted.values())} cases in {out}; add --overwrite to make them again")
    with only_writer(out):
        sweep(out)
        write_json(out / RECORD, _record(seed))
        names = [f"{j.dataset}/{j.case}" for j in todo]
        outcome = map_cases(run, todo, names, label="simulate", jobs=jobs, cluster=cluster, reporter=reporter)
        present = [name for name in SITES if _cases(out, name)]
        if not write_cohorts(out, present, overwrite=overwrite):
            reporter.remark(f"{out / COHORTS}: kept, as it was changed by hand; datasets here: {', '.join(present)}")
        changed = {job.dataset for job in todo}
        for name in present:  # no sheet when every case of the dataset failed
            if name in changed or not (out / f"{name}.png").is_file():
                write_sheet(out / f"{name}.png", LAYOUTS[name], out / name, _cases(out, name)[:6])
    return outcome


@dataclass(frozen=True)
class Job:
    """One case to make."""

    out: Path
    dataset: str
    number: int
    seed: int

    @property
    def case(self) -> str:
        return LAYOUTS[self.dataset].case_name(self.number)


def run(job: Job) -> Path:
    """Make and write one case; its folder."""
    root = job.out / job.dataset
    write_case(root, LAYOUTS[job.dataset], job.case, make_case(SITES[job.dataset], job.seed, job.number))
    return root / job.case


def make_case(site: Site, seed: int, number: int) -> SimulatedCase:
    """One case in memory: every image as it will be stored, and the true lesion."""
    rng = np.random.default_rng([seed, zlib.crc32(site.name.encode()), number])
    scan = site.place(site, rng)
    modalities = site.available(rng)
    tissues = of_patient(site.tesla, rng)
    head = grow_head(paint(load_atlas(), site.disease, rng), scan.centre, rng)
    seen: dict[int, Sampled] = {}  # modalities on one grid share the sampling, the dear part
    for grid in scan.grids.values():
        if id(grid) not in seen:
            seen[id(grid)] = head.sample(grid)

    images = {}
    for modality, grid in scan.grids.items():
        sampled = seen[id(grid)]
        own = np.random.default_rng(rng.integers(2**32, size=4))  # a modality left out changes no other
        if modality in modalities:
            images[modality] = (_fill(sampled.inside, _image(site, modality, sampled, tissues, own)), grid)
    grid = scan.grids[site.reference]
    drawn = seen[id(grid)]
    return SimulatedCase(images, (_fill(drawn.inside, labels(drawn.fractions, site.lesion_labels)), grid))


def _image(
    site: Site, modality: str, head: Sampled, tissues: Mapping[str, Tissue], rng: np.random.Generator
) -> NDArray[np.generic]:
    """Stored values of the brain voxels: counts of the scanner, or ADC in the site's unit."""
    sequence = site.sequences[modality].jittered(rng)
    snr = site.snr * float(np.exp(0.1 * rng.standard_normal()))
    if modality == "ADC":
        adc = measure_adc(head, sequence, tissues, snr=snr, rng=rng) / np.float32(site.adc_unit)
        return np.rint(adc).astype(np.int16) if site.adc_unit < 1e-3 else adc.astype(np.float32)
    signal = acquire(head, sequence, tissues, bias=site.bias, snr=snr, rng=rng)
    gain = site.scale * float(np.exp(0.2 * rng.standard_normal())) / float(signal.mean())
    return np.clip(np.rint(gain * signal), 0, np.iinfo(np.int16).max).astype(np.int16)


def _fill(inside: NDArray[np.bool_], values: NDArray[Scalar]) -> NDArray[Scalar]:
    """The image with `values` inside the brain and exactly 0 outside."""
    image = np.zeros(inside.shape, values.dtype)
    image[inside] = values
    return image


def _cases(out: Path, dataset: str) -> list[str]:
    """Names of the cases on disk, in order."""
    pattern = LAYOUTS[dataset].case.split("{")[0] + "*"
    return sorted(path.name for path in (out / dataset).glob(pattern) if path.is_dir())


def _check(out: Path, wanted: Mapping[str, int], seed: int) -> None:
    unknown = sorted(set(wanted) - set(SITES))
    if unknown:
        raise UsageError(f"found dataset {unknown[0]!r}; expected one of {', '.join(SITES)}; check the spelling")
    if not wanted or min(wanted.values()) < 1:
        raise UsageError(f"found {dict(wanted)} cases; expected at least one per dataset; raise the number")
    if seed < 0:
        raise UsageError(f"found seed {seed}; expected zero or a positive whole number; drop the sign")
    record = out / RECORD
    refuse_other_things(out, marker=RECORD, kind="simulation")
    if record.is_file() and (found := _seed(record)) != seed:
        raise UsageError(
            f"found cases of seed {found} in {out}; expected seed {seed}, as seeds do not mix; choose another folder"
        )


def _seed(record: Path) -> int:
    """The seed a folder was begun with."""
    try:
        return int(json.loads(record.read_bytes())["seed"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise BadInput(f"{record}: {reason}", "the record of a simulation", "choose another folder") from error


def _record(seed: int) -> dict[str, Any]:
    sites = {name: {k: v for k, v in asdict(site).items() if k != "place"} for name, site in SITES.items()}
    tissues = {f"{tesla} T": {n: asdict(t) for n, t in table.items()} for tesla, table in TABLE.items()}
    return {"software": f"pmmsynth {version('pmmsynth')}", "seed": seed, "sites": sites, "tissues": tissues}
