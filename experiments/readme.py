"""What scripts write into README.md and docs: blocks of text with numbers, panels at half size."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from PIL import Image

from pmmsynth.evaluate.tables import Row


def write_block(project: Path, script: str, text: str) -> None:
    """Replace what stands between the marks of `script` in README.md."""
    readme = project / "README.md"
    start, end = f"<!-- written by experiments/{script} -->", f"<!-- end of experiments/{script} -->"
    before, opened, rest = readme.read_text(encoding="utf-8").partition(start)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise SystemExit(f"found no {start} ... {end} in {readme}; expected both marks; restore them")
    readme.write_text(f"{before}{start}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def short_table(groups: Sequence[tuple[str, Sequence[Row]]], names: Sequence[str]) -> str:
    """One line per group of rows: PSNR / SSIM of every method, mean over the rows, best in bold."""
    lines = [f"| task | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    for label, group in groups:
        parts: dict[str, list[str]] = {n: [] for n in names}
        for measure, digits in (("psnr", 2), ("ssim", 3)):
            shown = {n: f"{fmean(row.cells[n].mean[measure] for row in group):.{digits}f}" for n in names}
            best = max(shown.values(), key=float)
            for name, text in shown.items():
                parts[name].append(f"**{text}**" if text == best else text)
        lines.append(f"| {label} | {' | '.join(' / '.join(parts[n]) for n in names)} |")
    return "\n".join(lines)


def copy_panel(source: Path, target: Path) -> None:
    """A panel for a page: half the size, a quarter of the bytes."""
    with Image.open(source) as panel:
        panel.convert("RGB").reduce(2).save(target, optimize=True)
