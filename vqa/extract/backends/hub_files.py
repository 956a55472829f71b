"""Files of the model hub, brought to the cache in which libraries look for them, each with the bytes of its hash.

huggingface_hub believes what it is told: it makes paths of the ETag and of the commit, and compares no hash. So here it
only asks, and writes nothing. One answer counts for each file, and all files of a call are of one commit. They lie as
huggingface_hub keeps them (`blobs/HASH`, `snapshots/COMMIT/NAME` leading there, `refs/main`), where libraries find them
with the hub switched off (`fetching`). Files that were there before are held against their hash, too.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vqa.errors import WeightsError
from vqa.extract.backends.hub import HUB, which_answer
from vqa.extract.backends.hub_answers import COMMIT, HASH, Announced, Repository, answer_errors, ask, hash_of, receive
from vqa.extract.spec import ModelSpec
from vqa.extract.weights import hub_error
from vqa.files import make_folders, sweep_temporaries, write_text, written_whole

_MAIN = "main"
_NAME = re.compile(r"(?!\.\.?(/|$))[\w.-]+(/(?!\.\.?(/|$))[\w.-]+)*")


def hub_files(spec: ModelSpec, repository: str, *wanted: Sequence[str], revision: str = _MAIN) -> tuple[Path, ...]:
    """Return the paths of files of a repository, fetched if they are not here yet, each with the bytes of its hash.

    Where the hub is switched off or does not answer, those of the cache are taken.

    Args:
        spec: The model they are for, for messages.
        repository: OWNER/NAME.
        *wanted: For each file the names that it may have; the first one that the repository has is taken.
        revision: Branch, tag or commit.

    Raises:
        WeightsError: they can't be had, or the hub announces what can't be or sends something else than it announced.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    from huggingface_hub.file_download import repo_folder_name

    for name in (revision, *(name for names in wanted for name in names)):
        if not _NAME.fullmatch(name):
            raise WeightsError(f"{spec}: {name!r} is no name of a file or revision of {repository}; correct it")
    missing: Exception = LocalEntryNotFoundError("not in the local cache")
    with HUB:
        try:
            folder = Path(constants.HF_HUB_CACHE).expanduser() / repo_folder_name(repo_id=repository, repo_type="model")
            source = Repository(spec, repository, folder)
            # Asked once: huggingface_hub would repeat each request to a hub that does not answer for 23 s.
            if not constants.HF_HUB_OFFLINE and which_answer((constants.ENDPOINT,))[0]:
                return _fetched(source, wanted, revision)
        except EntryNotFoundError as error:
            raise hub_error(spec, error) from error
        except answer_errors() as error:
            missing = error
        found = [_cached(source, names, revision) for names in wanted]
        paths = tuple(path for path in found if path is not None)
    if len(paths) < len(wanted):
        raise hub_error(spec, missing) from missing
    return paths


def _fetched(source: Repository, wanted: Sequence[Sequence[str]], revision: str) -> tuple[Path, ...]:
    """Return the paths of files as the hub has them now, all of the commit that it names for the first."""
    paths: list[Path] = []
    commit = revision
    for names in wanted:
        name, announced = _ask_first(source, names, commit)
        if announced.commit != commit and (paths or COMMIT.fullmatch(revision)):
            source.refuse(name, f"announces commit {announced.commit[:12]} of {commit[:12]}")
        commit = announced.commit
        paths.append(_brought(source, name, announced))
    _keep_revision(source, revision, commit)
    return tuple(paths)


def _ask_first(source: Repository, names: Sequence[str], revision: str) -> tuple[str, Announced]:
    """Return the first of some names that the repository has, and what the hub says of that file."""
    from huggingface_hub.errors import EntryNotFoundError

    for name in names[:-1]:
        try:
            return name, ask(source, name, revision)
        except EntryNotFoundError:
            continue
    return names[-1], ask(source, names[-1], revision)


def _brought(source: Repository, name: str, announced: Announced) -> Path:
    """Return the path of an announced file in the cache, downloaded unless its bytes are there."""
    path = source.folder / "snapshots" / announced.commit / name
    if not _is(path, announced):
        blob = source.folder / "blobs" / announced.hash
        if not _is(blob, announced):
            _download(source, name, announced, blob)
        _link(path, blob)
    return path


def _is(path: Path, announced: Announced) -> bool:
    """Say whether a file is there and has the announced bytes."""
    return path.is_file() and path.stat().st_size == announced.size and hash_of(path, announced.hash) == announced.hash


def _download(source: Repository, name: str, announced: Announced, blob: Path) -> None:
    """Bring a file's bytes to the cache, once they have proven to be those announced."""
    from huggingface_hub import utils

    library: Any = utils
    make_folders(blob.parent)
    free = shutil.disk_usage(blob.parent).free
    if announced.size > free:
        source.refuse(name, f"announces {announced.size / 1e9:.3g} GB, where {free / 1e9:.3g} GB are free")
    lock = source.folder.parent / ".locks" / source.folder.name / f"{announced.hash}.lock"  # huggingface_hub's own
    make_folders(lock.parent)
    with library.WeakFileLock(lock):
        if _is(blob, announced):  # another process was first
            return
        sweep_temporaries(blob.parent)
        with written_whole(blob) as temporary:
            with temporary.open("wb") as file:
                receive(source, name, announced, file)
            found = hash_of(temporary, announced.hash)
            if found != announced.hash:
                source.refuse(name, f"announces the hash {announced.hash[:12]}... and sends bytes of {found[:12]}...")


def _link(path: Path, blob: Path) -> None:
    """Let a name in a snapshot lead to its bytes, or hold them where the system has no links."""
    make_folders(path.parent)
    path.unlink(missing_ok=True)
    try:
        path.symlink_to(os.path.relpath(blob, path.parent))
    except OSError:
        if path.is_file():  # another process was first
            return
        with written_whole(path) as temporary:
            shutil.copyfile(blob, temporary)


def _keep_revision(source: Repository, revision: str, commit: str) -> None:
    """Write down which commit a branch or tag is at; a cache that can't be written to stays as it is."""
    path = source.folder / "refs" / revision
    try:
        if revision != commit and not (path.is_file() and path.read_bytes() == commit.encode()):
            write_text(path, commit)
    except OSError:
        return


def _cached(source: Repository, names: Sequence[str], revision: str) -> Path | None:
    """Return the path of the first of some names that the cache has.

    Raises:
        WeightsError: it is not what its name in the cache says.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(source.name, name, cache_dir=constants.HF_HUB_CACHE, revision=revision)
        if isinstance(found, str):
            path = Path(found)
            # What somebody copied by hand is no link to a file named by its hash, and is taken as it is.
            blob = path.readlink().name if path.is_symlink() else ""
            if HASH.fullmatch(blob) and hash_of(path, blob) != blob:
                raise WeightsError(
                    f"{path}: its bytes are not those of the hash {blob[:12]}... that it came with; "
                    f"run `vqa models fetch {source.spec}` where the hub can be reached"
                )
            return path
    return None
