"""The errors a user can meet. Each message is one line: the thing, the reason, the next step."""

from typing import Any

MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError)
"""What using a value from a damaged or forged file raises, beside what its own library does."""


class VqaError(Exception):
    """Base of every error that the command line prints as one line and exit status 1."""


class WorkspaceError(VqaError):
    """A workspace is missing, or its `vqa.toml` can't be used."""


class LabelsError(VqaError):
    """A labels file can't be read or does not fit the videos."""


class UnknownModelError(VqaError):
    """A model spec, pool or glob names nothing that exists."""


class WeightsError(VqaError):
    """Pretrained weights can't be had, or are not the ones expected."""


class VideoError(VqaError):
    """One video can't be used; costs one row of the ledger, never the run."""

    reading: Any = None
    """How its file was read until then, a `vqa.records.Reading`; None where that is not known."""


class TransientError(VideoError):
    """One video could not be used for a reason outside of its file: the next run tries it again."""


class CacheError(VqaError):
    """The cache can't be read or written."""


class TableError(VqaError):
    """A table of features can't be read or written, or does not fit the dataset."""


class StorageError(VqaError):
    """A place that a URL names can't be reached or used at all."""


class CacheMissError(CacheError):
    """Features that were asked for are not in the cache."""


class DegenerateDataError(VqaError):
    """Too few rows, equal scores, or constant features: the figure asked for has no meaning."""


class BundleError(VqaError):
    """A trained scorer can't be read, or does not fit the features."""


class SelectionError(VqaError):
    """What was asked of a selection can't be had: no such criterion, too many candidates, too small a budget."""


class ProbeError(VqaError):
    """A candidate's features of the probe clip can't be had, or are not those of before."""
