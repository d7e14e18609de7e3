"""The planted faults still are faults of what the library says, and no file of it is without one."""

from pathlib import Path

import pytest

import asrnn_jax
from tests.planted.__main__ import TABLE, planted, row
from tests.planted.faults import FAULTS

LIBRARY = Path(asrnn_jax.__file__).parent


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.file)
def test_a_fault_can_be_planted(fault):
    source = (LIBRARY / fault.file).read_text()
    assert planted(fault, source) != source
    compile(planted(fault, source), fault.file, "exec")


def test_every_file_with_functions_has_one():
    files = {str(file.relative_to(LIBRARY)) for file in LIBRARY.rglob("*.py") if "\ndef " in file.read_text()}
    assert files <= {fault.file for fault in FAULTS}


def test_the_table_is_of_these_faults_and_each_is_noticed():
    kept = TABLE.read_text()
    assert [fault.file for fault in FAULTS if row(fault, "").removesuffix("`` |") not in kept] == []
    assert "`NOTHING`" not in kept
