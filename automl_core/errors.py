"""The exceptions of the project.

SizewiseError            anything a user can act on; the command line prints it and exits with ``exit_status``
├── InputError           a deck, a spec, an argument or a model is wrong (exit status 2)
│   └── RecordError      the file of a study cannot be used (exit status 2)
├── MissingError         the machine lacks a program, a library or a package (exit status 3)
└── EvaluationError      one evaluation gave no figures; the study records a failed trial and goes on
    └── EvaluationTimeout   ... because it ran past its limit
"""

from __future__ import annotations

__all__ = [
    "EvaluationError",
    "EvaluationTimeout",
    "InputError",
    "MissingError",
    "RecordError",
    "SizewiseError",
]


class SizewiseError(Exception):
    """What went wrong, where, and what to do about it.

    Args:
        problem: what is wrong, with the offending value.
        place: where: ``file``, ``file:line`` or the name of an option.
        remedy: what the reader can do.
    """

    exit_status = 2

    def __init__(self, problem: str, *, place: str | None = None, remedy: str | None = None) -> None:
        self.problem = problem
        self.place = place
        self.remedy = remedy
        super().__init__(problem)

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        what_to_do = f"\n  {self.remedy}" if self.remedy else ""
        return f"{where}{self.problem}{what_to_do}"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the keyword arguments, which ``Exception`` alone would lose."""
        return _rebuild, (type(self), self.problem, self.place, self.remedy)


def _rebuild(cls: type[SizewiseError], problem: str, place: str | None, remedy: str | None) -> SizewiseError:
    return cls(problem, place=place, remedy=remedy)


class InputError(SizewiseError):
    """A deck, a spec, an argument or a model that cannot be used as it is."""


class RecordError(InputError):
    """The file of a study is damaged, locked, or was made for something else."""


class MissingError(SizewiseError):
    """The machine lacks a program, a library or a package."""

    exit_status = 3


class EvaluationError(SizewiseError):
    """One evaluation gave no figures; recorded as a failed trial."""


class EvaluationTimeout(EvaluationError):
    """One evaluation ran past its time limit; recorded with the status ``timeout``."""
