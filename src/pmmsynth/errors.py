"""The errors a user can meet, each with the exit code of the command line.

Every message says what was found, what was expected and what to do.
"""

import errno

FAILING = {errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE}
"""A disk or share that fails, too little memory, too many open files."""


class PmmsynthError(Exception):
    """Base of all errors this package raises on purpose; `exit_code` is what the command returns."""

    exit_code = 70


class UsageError(PmmsynthError):
    """The command or its options make no sense together (exit code 2)."""

    exit_code = 2


class NothingToDo(PmmsynthError):
    """The request is valid but there is no work in it (exit code 3)."""

    exit_code = 3


class BadInput(PmmsynthError):
    """A file or folder is not what it should be (exit code 4).

    Args:
        found: What was found, with the place ("t1.nii.gz: 4-D, shape (64, 64, 30, 7)").
        expected: What should have been there ("one 3-D volume").
        remedy: What the user can do about it.
    """

    exit_code = 4

    def __init__(self, found: str, expected: str, remedy: str) -> None:
        super().__init__(f"found {found}; expected {expected}; {remedy}")
        self.found, self.expected, self.remedy = found, expected, remedy

    def __reduce__(self) -> tuple[type["BadInput"], tuple[str, str, str]]:
        return type(self), (self.found, self.expected, self.remedy)  # must survive worker processes


def is_of_memory(error: Exception) -> bool:
    """Whether there was too little of it: PyTorch and ITK say so in errors of their own."""
    return isinstance(error, MemoryError) or any(
        words in str(error) for words in ("out of memory", "allocate memory", "bad_alloc")
    )


def is_of_machine(error: Exception) -> bool:
    """Whether it says nothing of the file that was read or the image that was worked on."""
    return is_of_memory(error) or (isinstance(error, OSError) and error.errno in FAILING)
