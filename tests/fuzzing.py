"""Run by test_fuzz.py in a process of its own: one kind of file, damaged again and again and read each time.

python fuzzing.py KIND FOLDER FIRST COUNT

The folder holds good files `KIND-*`. What must not happen ends the process: another error than ours, a number that is
not finite, memory beyond the limit, a hang; the last line it printed names the case.
"""

from __future__ import annotations

import faulthandler
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mutations import mutated, mutated_text

from vqa.errors import VqaError

SECONDS = 60
"""Of one case; a reader of its own process gives up before."""
MEMORY = 1 << 30
"""What all cases may take beside the libraries."""

Reader = Callable[[Path], None]


def read_labels(path: Path) -> None:
    from vqa.cache.matlab import read_matlab_hdf5
    from vqa.labels import Columns, read_labels

    labels = read_labels(path, Columns(), read_hdf5=read_matlab_hdf5)
    assert np.isfinite([label.mos for label in labels]).all()
    assert all(label.id for label in labels)


def read_table(path: Path) -> None:
    from vqa.cache.tablefiles import TableNames, read_feature_file

    table = read_feature_file(path, TableNames(), ids_file=path.with_name("ids.txt") if path.suffix == ".npy" else None)
    assert all(video.isprintable() for video in table.rated.ids)
    assert not any(np.isinf(values).any() for values in table.sets.values())
    assert table.rated.mos is None or not np.isinf(table.rated.mos).any()


def read_segment(path: Path) -> None:
    from vqa.cache.segment import open_segment, read_videos

    segment = open_segment(path)
    videos = read_videos(segment, range(len(segment.keys)))
    assert not any(np.isinf(video.values).any() for video in videos)
    assert segment.provenance.source or not any(np.isnan(video.values).any() for video in videos)
    assert all(np.isfinite(video.pts_seconds).all() for video in videos)


def read_bundle(path: Path) -> None:
    from vqa.train.bundle import load_bundle

    bundle = load_bundle(path)
    widths = zip(bundle.names, bundle.fitted.block_widths, strict=True)
    said = bundle.predict({name: np.ones((2, width), np.float32) for name, width in widths})
    assert np.isfinite(said.scores).all()


def mutated_bundle(content: bytes, seed: str) -> bytes:
    """Return a damaged bundle, with the digest of its damaged bytes: a stranger can write one, too."""
    from vqa.train.header import UNSEALED, sealed

    digest = re.search(rb'digest\\":\\"([0-9a-f]{64})', content)
    assert digest is not None
    return sealed(mutated(content.replace(digest[1], UNSEALED.encode(), 1), seed))


def read_weights(path: Path) -> None:
    from vqa.extract.weights import read_state

    read_state(path)


def read_settings(path: Path) -> None:
    from vqa.workspace import open_workspace

    folder = path.parent / "settings"
    folder.mkdir(exist_ok=True)
    path.replace(folder / "vqa.toml")
    open_workspace(folder)


def read_selection_file(path: Path) -> None:
    from vqa.pipeline.selected import read_selection
    from vqa.workspace import DatasetSettings, Workspace

    folder = path.parent / "selection"
    folder.mkdir(exist_ok=True)
    path.replace(folder / "selection.json")
    for row in read_selection(Workspace(folder, DatasetSettings("x"))):
        assert np.isfinite(row.dbi)


def read_ledger(path: Path) -> None:
    from vqa.cache.ledger import Ledger

    (path.parent / "cache" / "failures").mkdir(exist_ok=True, parents=True)
    path.replace(path.parent / "cache" / "failures" / "a.jsonl")
    Ledger(path.parent / "cache").open_failures()


def read_memo(path: Path) -> None:
    from vqa.cache.key import KeyMemo

    (path.parent / "cache").mkdir(exist_ok=True)
    path.replace(path.parent / "cache" / "keys.jsonl")
    key = KeyMemo(path.parent / "cache").known(Path(__file__))
    assert key is None or len(key) == 64


READERS: dict[str, tuple[Reader, Callable[[bytes, str], bytes]]] = {
    "labels": (read_labels, mutated),
    "matlabels": (read_labels, mutated),
    "textlabels": (read_labels, mutated_text),
    "tables": (read_table, mutated),
    "segments": (read_segment, mutated),
    "bundles": (read_bundle, mutated_bundle),
    "weights": (read_weights, mutated),
    "settings": (read_settings, mutated_text),
    "selections": (read_selection_file, mutated_text),
    "ledgers": (read_ledger, mutated_text),
    "memos": (read_memo, mutated_text),
}


def limit_memory() -> None:
    status = Path("/proc/self/status")
    if status.is_file():
        held = int(re.search(r"VmData:\s+(\d+)", status.read_text())[1]) * 1024  # type: ignore[index]
        resource.setrlimit(resource.RLIMIT_DATA, (held + MEMORY, held + MEMORY))


def read(reader: Reader, original: Path, folder: Path, content: bytes) -> None:
    """Read content as a file of the original's kind."""
    case = folder / f"case{original.suffix}"
    case.write_bytes(content)
    reader(case)


def require_one_line(error: VqaError) -> None:
    assert "\n" not in str(error), repr(str(error))


def main(kind: str, folder: Path, first: int, count: int) -> None:
    reader, mutate = READERS[kind]
    originals = sorted(folder.glob(f"{kind}-*"))
    for original in originals:  # loads what the reader needs, and shows that it reads what is whole
        read(reader, original, folder, original.read_bytes())
    limit_memory()
    refused = 0
    for number in range(first, first + count):
        original = originals[number % len(originals)]
        sys.stdout.write(f"{original.name}:{number}\n")
        sys.stdout.flush()
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            read(reader, original, folder, mutate(original.read_bytes(), f"{original.name}:{number}"))
        except VqaError as error:
            refused += 1
            require_one_line(error)
    faulthandler.cancel_dump_traceback_later()
    sys.stdout.write(f"refused {refused} of {count}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
