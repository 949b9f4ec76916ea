"""Readers of a study at once: how long a real server, over the loopback, keeps each of them waiting.

Each signs in, opens the page, loads six images of 192 x 192 x 24 voxels (uint16), saves a draft every 2 s for 20 s and
submits; OUT gets the study and one line of JSON per request. The table goes into docs/explanation/performance.md.

Usage: python benchmarks/readers.py OUT [READERS]
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx2
import nibabel as nib
import numpy as np
import psutil

from pmmsynth.atomic import write_json, write_text
from pmmsynth.study.files import IMAGES, STUDY, Item, Reader, StudyRecord, token_digest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "performance.md"
START, END = "<!-- written by benchmarks/readers.py -->", "<!-- end of benchmarks/readers.py -->"
SEQUENCES = ("T1", "T2", "T1C", "FLAIR", "DWI", "ADC")
SHAPE = (192, 192, 24)
SAVES, EVERY = 10, 2.0
REPORT = {"findings": "Mass in the left frontal lobe. " * 50, "type": "glioma", "grade": "high", "impression": "HGG"}
Row = dict[str, Any]


def make_study(folder: Path, readers: int) -> None:
    """One item for each reader, all with images of their own."""
    rng = np.random.default_rng(0)
    people = []
    for number in range(readers):
        for sequence in SEQUENCES:
            place = folder / IMAGES / f"images{number}" / f"{sequence}.nii"
            place.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(rng.integers(0, 4096, SHAPE, np.uint16), np.eye(4)), place)
        item = Item(id=f"item{number}", images=f"images{number}")
        people.append(Reader(code=f"R{number}", token=token_digest(f"token {number}"), sittings=((item,),)))
    record = StudyRecord(
        id="benchmark",
        title="Benchmark",
        sequences=SEQUENCES,
        washout_days=0,
        types=("glioma",),
        grades=("high",),
        organiser=token_digest("token of the organiser"),
        readers=tuple(people),
    )
    write_json(folder / STUDY, record.model_dump(mode="json"))


@contextmanager
def serving(study: Path) -> Iterator[tuple[psutil.Process, str]]:
    """A server of its own and its address."""
    command = [sys.executable, "-m", "pmmsynth", "reading", "serve", str(study), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield psutil.Process(process.pid), json.loads(process.stdout.readline())["address"]
        finally:
            process.terminate()
            process.communicate()


def peak(server: psutil.Process) -> int:
    """Megabytes at most so far (Linux)."""
    (line,) = (x for x in Path(f"/proc/{server.pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1000)


def read(address: str, number: int, together: Barrier) -> list[Row]:
    """What one reader waits for."""
    rows: list[Row] = []
    client = httpx2.Client(base_url=address, headers={"X-Requested-With": "pmmsynth"}, timeout=60)

    def ask(kind: str, method: str, path: str, expected: int, **content: Any) -> httpx2.Response:
        begin = time.perf_counter()
        answer = client.request(method, path, **content)
        seconds = time.perf_counter() - begin
        rows.append({"kind": kind, "reader": number, "seconds": seconds, "error": answer.status_code != expected})
        return answer

    with client:
        together.wait()
        ask("sign in", "POST", "/signin", 303, data={"token": f"token {number}"})
        ask("page", "GET", "/", 200)
        item = ask("progress", "GET", "/api/progress", 200).json()["current"]
        began = ask("draft", "GET", f"/api/items/{item}/report", 200).headers["ETag"]
        for sequence in SEQUENCES:
            image = ask("image", "GET", f"/api/items/{item}/{sequence}.nii", 200)
            rows[-1]["error"] |= len(image.content) != 352 + 2 * math.prod(SHAPE)
        begin = time.perf_counter()
        for save in range(SAVES):
            time.sleep(max(0, begin + EVERY * (save + 1) - time.perf_counter()))
            report = {**REPORT, "confidence": save % 6}
            saved = ask("autosave", "PUT", f"/api/items/{item}/report", 204, json=report, headers={"If-Match": began})
            began = saved.headers["ETag"]
        ask("submit", "POST", f"/api/items/{item}/submit", 200, json=report, headers={"If-Match": began})
    return rows


def table(rows: list[Row]) -> str:
    """Milliseconds by kind of request."""
    lines = ["| request | number | errors | median, ms | 95 %, ms | longest, ms |", "|---|---:|---:|---:|---:|---:|"]
    for kind in dict.fromkeys(row["kind"] for row in rows):
        of_kind = [row for row in rows if row["kind"] == kind]
        milliseconds = [1e3 * row["seconds"] for row in of_kind]
        cells = [f"{q:.0f}" for q in np.percentile(milliseconds, (50, 95, 100))]
        errors = sum(row["error"] for row in of_kind)
        lines.append(f"| {' | '.join((kind, str(len(of_kind)), str(errors), *cells))} |")
    return "\n".join(lines)


def write_page(page: Path, text: str) -> None:
    """Put the text between its marks."""
    before, opened, rest = page.read_text(encoding="utf-8").partition(START)
    _, closed, after = rest.partition(END)
    if not opened or not closed:
        raise SystemExit(f"found no {START} ... {END} in {page}; expected both marks; restore them")
    write_text(page, f"{before}{START}\n\n{text}\n\n{END}{after}")


def main(out: Path, readers: int) -> None:
    study = out / f"study{time.time_ns()}"
    make_study(study, readers)
    together = Barrier(readers)
    with serving(study) as (server, address), ThreadPoolExecutor(readers) as threads:
        before = peak(server)
        begun = server.cpu_times()
        rows = [row for rows in threads.map(lambda n: read(address, n, together), range(readers)) for row in rows]
        cpu = sum(server.cpu_times()[:2]) - sum(begun[:2])
        memory = peak(server)
    (out / "readers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    facts = f"{readers} readers. The server took {cpu:.1f} s of CPU, {before} MB when it began and {memory} MB at most."
    write_page(PAGE, f"{table(rows)}\n\n{facts}")
    print(table(rows), facts, sep="\n\n")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 20)
