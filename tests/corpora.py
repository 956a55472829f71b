"""Small good files of every kind that is read from strangers, to be damaged by tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import torch
from safetensors.torch import save_file

from vqa.cache.segment import Provenance, SegmentRow, Source
from vqa.cache.segmentwriting import write_segment
from vqa.records import CandidateRecord, ImportedFeatures, VideoFeatures
from vqa.train.bundle import save_bundle
from vqa.train.fitting import TrainJob, TrainSettings, fit_many

IDS = ["clips/a1.mp4", "a2.mp4", "b1", "b2", "c1", "c2"]
MOS = [1.5, 2.0, 3.25, 4.0, 4.5, 5.0]
GROUPS = ["a", "a", "b", "b", "c", "c"]
SPLITS = ["train", "train", "train", "val", "test", "test"]
FEATURES = np.arange(18, dtype=np.float32).reshape(6, 3)


def _columns(between: str) -> str:
    lines = zip(["id", *IDS], ["mos", *map(str, MOS)], ["group", *GROUPS], ["split", *SPLITS], strict=True)
    return "".join(between.join(cells) + "\n" for cells in lines)


def _cells(texts: list[str]) -> np.ndarray[Any, Any]:
    return np.array(texts, dtype=object)[:, None]


def write_matlab_73(file: Path, **variables: Any) -> Path:
    """Write variables as MATLAB 7.3 does: transposed, text as codes, cells as references."""
    with h5py.File(file, "w", userblock_size=512) as content:
        for name, value in variables.items():
            if isinstance(value, list):
                cells = []
                for number, cell in enumerate(value):
                    codes = np.frombuffer(cell.encode("utf-16-le"), "<u2")[:, None]
                    cells.append(content.create_dataset(f"#refs#/{name}{number}", data=codes))
                    cells[-1].attrs["MATLAB_class"] = np.bytes_("char")
                made = content.create_dataset(name, data=[[cell.ref for cell in cells]], dtype=h5py.ref_dtype)
                made.attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                made = content.create_dataset(name, data=np.asarray(value).T)
                made.attrs["MATLAB_class"] = np.bytes_("double")
    return file


def write_labels(folder: Path) -> None:
    write_matlab_73(folder / "labels-h.mat", video_names=IDS, mos=np.array(MOS)[:, None])
    (folder / "labels-c.csv").write_text(_columns(","))


def write_matlab_labels(folder: Path) -> None:
    content = {"video_names": _cells(IDS), "info": {"mos": np.array(MOS)[:, None], "x": np.ones((2, 2))}}
    scipy.io.savemat(folder / "matlabels-5.mat", content)
    scipy.io.savemat(folder / "matlabels-7.mat", content, do_compression=True)
    scipy.io.savemat(folder / "matlabels-4.mat", {"id": np.array(IDS), "mos": MOS}, format="4")


def write_text_labels(folder: Path) -> None:
    (folder / "textlabels-c.csv").write_text(_columns(" , "))
    (folder / "textlabels-t.tsv").write_text(_columns("\t"))
    (folder / "textlabels-n.txt").write_text("".join(f"{video}; {mos}\n" for video, mos in zip(IDS, MOS, strict=True)))


def write_tables(folder: Path) -> None:
    arrays = {"ids": np.array(IDS), "mos": np.array(MOS), "group": np.array(GROUPS), "feat__a": FEATURES}
    np.savez(folder / "tables-n.npz", **arrays)
    np.savez_compressed(folder / "tables-z.npz", **arrays)
    np.save(folder / "tables-n.npy", FEATURES)
    (folder / "ids.txt").write_text("".join(f"{video}\n" for video in IDS))
    rows = [
        ["id", "mos", "f/0", "f/1"],
        *([video, str(mos), "1.5", "-2e3"] for video, mos in zip(IDS, MOS, strict=True)),
    ]
    (folder / "tables-c.csv").write_text("".join(", ".join(row) + "\n" for row in rows))
    scipy.io.savemat(folder / "tables-5.mat", {"names": _cells(IDS), "MOS": MOS, "feats": FEATURES})
    scipy.io.savemat(folder / "tables-7.mat", {"names": _cells(IDS), "feats": FEATURES}, do_compression=True)
    write_matlab_73(folder / "tables-3.mat", names=IDS, mos=np.array(MOS)[:, None], feats=FEATURES)
    with h5py.File(folder / "tables-h.h5", "w") as file:
        file["labels/ids"], file["labels/mos"] = IDS, MOS
        file.create_dataset("feats", data=FEATURES, chunks=(2, 3), compression="gzip", fletcher32=True)


def candidate_details(frames: int = 4) -> str:
    return json.dumps(
        {"spec": {"backend": "timm", "frames": frames}, "input": {"clip_frames": 0}, "precision": "float32"}
    )


def write_segments(folder: Path) -> None:
    rng = np.random.default_rng(0)
    extracted = Provenance(
        CandidateRecord("timm:x", "abcdef123456", candidate_details()), "0" * 64, {"torch": "2"}, None, (1.0, 2.0)
    )
    values = rng.normal(size=(3, 4, 5)).astype(np.float16)
    rows = [SegmentRow(f"{n}" * 64, VideoFeatures(values[n], np.arange(4.0)), n) for n in range(3)]
    write_segment(folder, extracted, rows, seconds=1.5).rename(folder / "segments-e.h5")
    details = json.dumps({"kind": "imported", "model": "imported:x", "width": 5})
    record, source = CandidateRecord("imported:x", "abcdef123457", details), Source("x.npz", "0" * 64, 1)
    row = np.array([[1, 2, 3, 4, np.nan]], np.float32)
    taken = [SegmentRow(f"id:{n}", ImportedFeatures(row), n) for n in range(3)]
    write_segment(folder, Provenance(record, "", {}, source), taken, seconds=0).rename(folder / "segments-i.h5")


def bundle_header() -> dict[str, Any]:
    models = [
        {
            "name": name,
            "fingerprint": mark * 12,
            "details": json.loads(candidate_details()),
            "weights_sha256": mark * 64,
        }
        for name, mark in (("timm:a", "a"), ("timm:b", "b"))
    ]
    return {"models": models, "labels": "", "scale": [1, 5], "mos_range": [1, 5], "videos": 30}


def write_bundles(folder: Path) -> None:
    rng = np.random.default_rng(0)
    job = TrainJob(rng.normal(size=(30, 7)), rng.uniform(0, 100, 30), None, (4, 3), (0.6, 0.4), 0)
    fitted = fit_many([job], settings=TrainSettings(width=4, epochs=1, restarts=1))[0]
    known = {"training_mos": np.arange(30.0), "training_rows": np.arange(30, dtype=np.uint64)}
    save_bundle(folder / "bundles-b.vqa", fitted, bundle_header(), known)


def write_weights(folder: Path) -> None:
    state = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.ones(3, dtype=torch.float16)}
    save_file(state, folder / "weights-s.safetensors")
    torch.save(state, folder / "weights-z.pth")
    torch.save({"state_dict": state}, folder / "weights-l.pth", _use_new_zipfile_serialization=False)


def write_settings(folder: Path) -> None:
    (folder / "settings-s.toml").write_text(
        '[dataset]\nvideos = "clips"\nlabels = "labels.csv"\nid_pattern = "(.+)"\nscale = [ 1 , 5 ]\n'
        '[extract]\nmodels = [ "bundled" ]\nframes = 4\nmax_pixels = 10\nworker_memory = 1.5\nvideo_seconds = 3\n'
        "[select]\ntop_k = 2\n[train]\nsplits = 3\ntest_fraction = 0.2\nmargin = 0.1\n"
    )


def _selected(name: str, *, selected: bool) -> Mapping[str, Any]:
    row = {
        "rank": 1,
        "rank_interval": [1, 2],
        "name": name,
        "fingerprint": "abcdef123456",
        "dbi": 1.5,
        "selected": selected,
    }
    return row | {"values": {"dbi": 1.5}, "pick": 1, "ranked_width": 3, "width": 3, "pretext": "", "cost_ms": 2.5}


def write_selections(folder: Path) -> None:
    rows = [_selected("timm:a", selected=True), _selected("timm:b", selected=False)]
    document = {"schema": 2, "rows": rows, "left_out": {"timm:c": "constant"}, "videos": 9}
    (folder / "selections-s.json").write_text(json.dumps(document, indent=2))


def write_ledgers(folder: Path) -> None:
    failure = {
        "video": "a",
        "key": "",
        "candidate": "*",
        "fingerprint": "*",
        "stage": "open",
        "reason": "r",
        "time": "t",
    }
    lines = [{"written_ns": 1, "failure": failure}, {"written_ns": 2, "failure": {**failure, "key": "k" * 64}}]
    lines.append({"written_ns": 3, "resolved": {"key": "k" * 64, "fingerprint": "*", "video": "a"}})
    (folder / "ledgers-l.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_memos(folder: Path) -> None:
    status = Path(__file__).with_name("fuzzing.py").absolute()
    line = {"path": str(status), "size": status.stat().st_size, "mtime_ns": status.stat().st_mtime_ns, "key": "0" * 64}
    (folder / "memos-m.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(line | {"path": "b"}) + "\n")


WRITERS = {
    "labels": write_labels,
    "matlabels": write_matlab_labels,
    "textlabels": write_text_labels,
    "tables": write_tables,
    "segments": write_segments,
    "bundles": write_bundles,
    "weights": write_weights,
    "settings": write_settings,
    "selections": write_selections,
    "ledgers": write_ledgers,
    "memos": write_memos,
}
"""By kind: writes good files called KIND-* into a folder."""
