"""Rows of a score file, written by hand."""

from pmmsynth.evaluate.score import Score


def score_row(method: str, case: int, psnr: float, task: str = "T1->T2", dataset: str = "A") -> Score:
    """One case under the primary protocol; SSIM follows the PSNR."""
    return Score(
        method=method,
        digest="d",
        dataset=dataset,
        case=f"c{case:02d}",
        split="test",
        task=task,
        target=task.partition("->")[2],
        protocol="paper-v1",
        region="crop",
        psnr=psnr,
        ssim=psnr / 100,
        mae=0.01,
        n_slices=3,
    )
