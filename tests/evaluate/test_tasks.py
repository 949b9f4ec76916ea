import pytest

from pmmsynth.errors import UsageError
from pmmsynth.evaluate import tasks_for


def texts(modalities, selection="paper"):
    return [str(t) for t in tasks_for(modalities, selection)]


def test_the_papers_tasks_follow_from_the_modalities():
    assert texts(("T1", "T2", "T1C", "FLAIR")) == ["T1->T1C", "T2->FLAIR", "T1+T2->FLAIR", "T1+T2+FLAIR->T1C"]
    assert texts(("FLAIR", "DWI", "ADC")) == ["FLAIR->DWI", "FLAIR+DWI->ADC"]
    assert texts(("T1", "T2", "FLAIR", "ADC")) == ["T2->FLAIR", "T1+T2->FLAIR", "T1+T2+FLAIR->ADC"]
    assert texts(("T1",)) == []


def test_grid_and_lists():
    assert len(texts(("T1", "T2", "T1C", "FLAIR", "DWI", "ADC"), "grid")) == 186
    assert texts(("T1", "T2"), ["t2->t1", "T1->FLAIR", "T2->T1"]) == ["T2->T1"]
    with pytest.raises(UsageError, match="SOURCES->TARGET"):
        tasks_for(("T1", "T2"), "everything")
