"""Which sequence a DICOM series is, from what its header says: described by name, else by its times."""

import re
from dataclasses import dataclass

NOT_OURS = re.compile(
    r"localizer|localiser|scout|survey|three.?plane|3.?plane|calib|field.?map|b[01].?map|t1.?map|t2.?map|\bmpr\b|"
    r"swan|t2\s?\*|t2.?star|t2.{0,12}(ffe|fl[23]d|gre(?![a-z]))|angio|venogra|venc|perf|bold|fmri|"
    r"resting|spectro|phase|tensor|exponential|exp.{0,10}adc|col(ou?r)?.?fa|(mag|pha|real|imag).?images|"
    r"(?<![a-z])(m(in|n)?ip|swip?|tof|(ce)?mr[av]|pca|pwi|dsc|dce|(pc|p|c)?asl|svs|csi|mtt|r?cb[fv]|ttp|tmax|"
    r"eadc|pha|ha?emo)(?![a-z])|(?<![a-z])fa(?![a-z]|.?\d)"
)
"""Series of other kinds, and maps made from ours; `_` and digits end a word (`swi3d_tra`), and FA 8 is an angle."""
OTHER_KINDS = frozenset(
    ("P", "PHASE", "PHASE MAP", "SWI", "MIP", "MNIP", "FA", "TENSOR", "EADC", "PERFUSION", "T1 MAP", "T2 MAP")
)
"""Image types of the same."""
CONTRAST = re.compile(
    r"(?<![a-z])(c\+|ce|gd|gad[a-z]*|post(?!.?(op|fossa))|contraste?|km|kontrast[a-z]*|inj[a-z]*)(?![a-z])|"
    r"\+\s?(c|gd|gad|km)(?![a-z])"
)
WITHOUT = r"pre|without|w/?o|non|no|nativ|ohne|sans|sin"
NO_CONTRAST = re.compile(rf"(?<![a-z])({WITHOUT})[\s_.-]*(i\.?v\.?[\s_.-]*)?({CONTRAST.pattern})")
"""The negation of a word for contrast stands right before it: NO FS and pre-op are of other things."""
NO_AGENT = re.compile(rf"{WITHOUT}|none")
NAMES = (
    ("ADC", re.compile(r"(?<![a-z])adc(?![a-z])|apparent.diffusion")),
    ("T1", re.compile(r"t1((?!t2).){0,8}(flair|dark.?fluid|tirm)")),
    ("FLAIR", re.compile(r"flair|dark.?fluid|tirm")),
    ("DWI", re.compile(r"(?<![a-z])(dwi|dti|diff[a-z]*|trace[a-z]*|b\s?=?\s?[1-3]000)(?![a-z])")),
    ("T1", re.compile(r"(?<![a-z])t1|mp.?rage|spgr|bravo")),
    ("T2", re.compile(r"(?<![a-z])[ast]?t2")),
)
"""In the order they are looked for: a FLAIR may be called T2 FLAIR, a map of a diffusion series names both. T1 FLAIR is
T1-weighted, and only its fluid nulled."""


@dataclass(frozen=True)
class Tags:
    """What of a header tells sequences apart; times in ms, 0 where it does not say.

    Attributes:
        description: Series description and protocol name.
        kind: Image type (ORIGINAL, PRIMARY, ...).
        echo, repetition, inversion: TE, TR, TI.
        agent: Of contrast.
        b_values: Different ones of the series, in s/mm2, rising.
        in_colour: As a map of directions is.
    """

    description: str
    kind: tuple[str, ...] = ()
    echo: float = 0.0
    repetition: float = 0.0
    inversion: float = 0.0
    agent: str = ""
    b_values: tuple[float, ...] = ()
    in_colour: bool = False


def recognize(tags: Tags) -> tuple[str | None, str]:
    """The canonical modality, None for what is none of ours, and what told.

    Example:
        >>> recognize(Tags("sT2W/FLAIR", echo=100, repetition=9000, inversion=2500))
        ('FLAIR', 'named')
        >>> recognize(Tags("AX SE", echo=12, repetition=550, agent="Gadovist"))
        ('T1C', 'TE 12, TR 550, TI 0 ms, agent Gadovist')
    """
    text = tags.description.lower()
    kinds = {kind.upper() for kind in tags.kind}
    if tags.in_colour:
        return None, "an image in colour"
    if found := NOT_OURS.search(text):
        return None, f"{found[0]!r} is not one of the sequences used"
    if others := sorted(kinds & OTHER_KINDS):
        return None, f"image type {others[0]} is not one of the sequences used"
    if "ADC" in kinds:
        return "ADC", "image type ADC"
    if kinds & {"TRACEW", "TRACE"}:
        return "DWI", "image type TRACE"
    named = next((name for name, pattern in NAMES if pattern.search(text)), None)
    if named is None and tags.b_values and tags.b_values[-1] > 0:
        return "DWI", f"b = {tags.b_values[-1]:g}"
    timed = by_times(tags)
    if (named or timed) == "T1":
        return _with_contrast(tags, text, "named" if named else _times(tags))
    if named:
        return named, "named"
    return timed, _times(tags) if timed else f"neither name nor {_times(tags)} tell"


def by_times(tags: Tags) -> str | None:
    """T1, T2 or FLAIR by TE, TR and TI alone."""
    if not tags.echo or not tags.repetition:
        return None
    if tags.echo >= 60 and tags.inversion >= 1600:
        return "FLAIR"
    longest = 30 if tags.repetition >= 300 else 10  # a short TR is of a gradient echo: at TE 20 it shows T2*
    if tags.echo <= longest and (tags.repetition <= 1300 or 300 <= tags.inversion <= 1500):
        return "T1"
    return "T2" if tags.echo >= 60 and tags.repetition >= 2000 and not tags.inversion else None


def doubts(tags: Tags, modality: str) -> str | None:
    """What the times say against the name, if they do."""
    timed = by_times(tags)
    same = {"T1C": "T1"}.get(modality, modality)
    if timed and same in ("T1", "T2", "FLAIR") and timed != same:
        return f"named {modality}, but {_times(tags)} are those of {timed}"
    return None


def _with_contrast(tags: Tags, text: str, why: str) -> tuple[str, str]:
    if tags.agent and not NO_AGENT.fullmatch(tags.agent.lower()):
        return "T1C", f"{why}, agent {tags.agent}"
    if found := CONTRAST.search(NO_CONTRAST.sub(" ", text)):
        return "T1C", f"{why}, {found[0]!r}"
    return "T1", why


def _times(tags: Tags) -> str:
    return f"TE {tags.echo:g}, TR {tags.repetition:g}, TI {tags.inversion:g} ms"
