"""vqa.toml: read strictly, written whole, with a comment on each key."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqa.errors import WorkspaceError
from vqa.settings import COMMENT
from vqa.workspace import (
    DatasetSettings,
    ExtractSettings,
    SelectSettings,
    TrainSettings,
    Workspace,
    open_workspace,
    write_workspace,
)


def write(folder, content):
    (folder / "vqa.toml").write_text(content, encoding="utf-8")
    return folder


def refusal(folder, content):
    """Return the one-line error of a vqa.toml, without its path."""
    with pytest.raises(WorkspaceError) as info:
        open_workspace(write(folder, content))
    message = str(info.value)
    assert "\n" not in message
    assert message.startswith(f"{folder / 'vqa.toml'}: ")
    return message.removeprefix(f"{folder / 'vqa.toml'}: ")


def test_the_least_workspace_has_every_default(tmp_path):
    workspace = open_workspace(write(tmp_path, '[dataset]\nvideos = "clips"\n'))
    assert workspace == Workspace(tmp_path, DatasetSettings("clips"))
    assert workspace.extract == ExtractSettings(("bundled",), 8, "auto", 0, "auto", 8192 * 8192)
    assert workspace.select == SelectSettings(4, 6, "width", 16)
    assert workspace.train == TrainSettings(20, 0.2, 0)
    assert workspace.cache_dir == tmp_path / "cache"
    assert workspace.selection_file == tmp_path / "selection.json"
    assert workspace.bundle_file == tmp_path / "scorer.vqa"
    assert workspace.results_dir == tmp_path / "results"


FULL = """
[workspace]
cache = "/data/cache"
[dataset]
videos = "clips/**/*.mp4"
labels = "mos.csv"
id_column = "file"
mos_column = "rating"
group_column = "scene"
split_column = ""
name_template = "{id}_x"
allow_missing = true
labelled_only = true
scale = [1, 5.0]
note = "VMAF, not human opinion"
[extract]
models = ["bundled", "timm:*"]
frames = 4
precision = "float32"
batch = 1
device = "cuda:1"
max_pixels = 1000
[select]
top_k = 2
bins = 3
bin_rule = "count"
common_width = 8
[train]
splits = 5
test_fraction = 0.5
random_state = 7
method = "ptm-vqa"
fusion = "uniform"
bins = 4
width = 16
margin = 0.2
intra_weight = 0.4
inter_weight = 0
restarts = 2
epochs = 9
"""


def test_every_key_is_read(tmp_path):
    assert open_workspace(write(tmp_path, FULL)) == Workspace(
        root=tmp_path,
        dataset=DatasetSettings(
            videos="clips/**/*.mp4",
            labels="mos.csv",
            id_column="file",
            mos_column="rating",
            group_column="scene",
            split_column="",
            name_template="{id}_x",
            allow_missing=True,
            labelled_only=True,
            scale=(1.0, 5.0),
            note="VMAF, not human opinion",
        ),
        extract=ExtractSettings(("bundled", "timm:*"), 4, "float32", 1, "cuda:1", 1000),
        select=SelectSettings(2, 3, "count", 8),
        train=TrainSettings(5, 0.5, 7, "ptm-vqa", "uniform", 4, 16, 0.2, 0.4, 0.0, 2, 9),
        cache="/data/cache",
    )


LISTED = """
[dataset]
videos = "clips"
labels = ["all.csv", "test.txt"]
file_splits = ["train", "test"]
id_column = ["name", "id"]
mos_column = ["mos"]
id_pattern = '(.+?)(?:[.]mp4)?'
group_pattern = '(.+)-[^-]+'
name_template = ["{id}", "{id}_x"]
"""


def test_labels_columns_and_templates_may_be_lists(tmp_path):
    workspace = open_workspace(write(tmp_path, LISTED))
    assert workspace.dataset == DatasetSettings(
        videos="clips",
        labels=("all.csv", "test.txt"),
        file_splits=("train", "test"),
        id_column=("name", "id"),
        mos_column=("mos",),
        id_pattern="(.+?)(?:[.]mp4)?",
        group_pattern="(.+)-[^-]+",
        name_template=("{id}", "{id}_x"),
    )
    write_workspace(workspace, overwrite=True)
    assert open_workspace(tmp_path) == workspace


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('labels = ["a.csv", 1]', "[dataset] labels is ['a.csv', 1]; write text in quotes, or a list of such"),
        ('file_splits = ["train"]', "[dataset] file_splits names 1 splits for 0 labels; write one each"),
        (
            'labels = "a.csv"\nfile_splits = ["half"]',
            "[dataset] file_splits has 'half'; write train, val, test or ",
        ),
        ("id_pattern = '('", "[dataset] id_pattern '(' is no regular expression (missing ), unterminated subpattern"),
        ("id_pattern = '.+'", "[dataset] id_pattern '.+' has 0 groups; put one pair of round brackets into it"),
        ("group_pattern = '(a)(b)'", "[dataset] group_pattern '(a)(b)' has 2 groups"),
        ("group_pattern = '(a)'\ngroup_column = 'b'", "[dataset] has both group_column and group_pattern; keep one"),
        ('name_template = ["{id}", "x"]', "[dataset] name_template is 'x'; put {id} into it"),
    ],
)
def test_lists_and_patterns_that_can_not_be_used_are_refused(tmp_path, line, message):
    assert refusal(tmp_path, f'[dataset]\nvideos = "clips"\n{line}\n').startswith(message)


def test_what_is_written_is_read_back(tmp_path):
    whole = open_workspace(write(tmp_path, FULL))
    write_workspace(whole, overwrite=True)
    assert open_workspace(tmp_path) == whole
    least = Workspace(tmp_path / "new" / "folder", DatasetSettings("clips"))
    assert write_workspace(least) == tmp_path / "new" / "folder" / "vqa.toml"
    assert open_workspace(least.root) == least


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@settings(max_examples=60)
@given(text, text, st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.lists(text, min_size=1, max_size=3))
def test_any_text_and_number_survives_the_file(tmp_path_factory, videos, note, low, span, models):
    dataset = DatasetSettings(videos, note=note, scale=(low, low + span + abs(low)))
    workspace = Workspace(tmp_path_factory.mktemp("w"), dataset, ExtractSettings(models=tuple(models)))
    write_workspace(workspace)
    assert open_workspace(workspace.root) == workspace


def test_the_file_explains_each_key_and_shows_those_without_a_value(tmp_path):
    lines = write_workspace(Workspace(tmp_path, DatasetSettings("clips"))).read_text().splitlines()
    assert lines[:3] == [
        "[workspace]",
        "# Folder of the features, or a URL such as s3://bucket/folder; several workspaces may share one.",
        'cache = "cache"',
    ]
    assert "# Lowest and highest score of the rating scale, if known." in lines
    assert '# labels = "..."' in lines
    assert "# scale = [1.0, 5.0]" in lines
    fields = DatasetSettings.__dataclass_fields__.values()
    assert [field.name for field in fields if not field.metadata[COMMENT]] == ["mos_column"]


def test_a_commented_key_can_be_switched_on(tmp_path):
    file = write_workspace(Workspace(tmp_path, DatasetSettings("clips")))
    content = file.read_text().replace("# scale =", "scale =").replace("# labels =", "labels =")
    assert tomllib.loads(content)["dataset"]["scale"] == [1.0, 5.0]
    assert open_workspace(write(tmp_path, content)).dataset.labels == "..."


def test_an_existing_workspace_is_not_overwritten(tmp_path):
    file = write_workspace(Workspace(tmp_path, DatasetSettings("clips")))
    before = file.read_bytes()
    with pytest.raises(WorkspaceError, match=r"vqa\.toml exists already; edit it, or choose another folder"):
        write_workspace(Workspace(tmp_path, DatasetSettings("other")))
    assert file.read_bytes() == before
    write_workspace(Workspace(tmp_path, DatasetSettings("other")), overwrite=True)
    assert open_workspace(tmp_path).dataset.videos == "other"


def test_paths_start_at_the_workspace_unless_absolute(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    workspace = Workspace(tmp_path, DatasetSettings("clips"), cache="../shared")
    assert workspace.resolve("clips/*.mp4") == tmp_path / "clips" / "*.mp4"
    assert workspace.resolve("/data/clips") == Path("/data/clips")
    assert workspace.resolve("~/clips") == Path("/home/someone/clips")
    assert workspace.cache_dir == tmp_path / ".." / "shared"


def test_a_folder_without_vqa_toml_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(WorkspaceError, match=r"has no vqa\.toml; make one with `vqa init .* --videos \.\.\. --labels"):
        open_workspace(tmp_path)
    with pytest.raises(WorkspaceError, match=r"gone has no vqa\.toml"):
        open_workspace(tmp_path / "gone")
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match=r"file has no vqa\.toml"):
        open_workspace(tmp_path / "file")


DATASET = '[dataset]\nvideos = "clips"\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (DATASET + "[extarct]\n", "unknown table 'extarct'; did you mean extract?"),
        (DATASET + "[zzz]\n", "unknown table 'zzz'; known are: workspace, dataset, extract, select, train"),
        (DATASET + "lables = 'a.csv'\n", "unknown key of [dataset] 'lables'; did you mean labels?"),
        ("videos = 'clips'\n", "unknown table 'videos'; known are: workspace"),
        ("[select]\ntop_k = 2\n", '[dataset] has no videos; add videos = "..."'),
        ("dataset = 3\n", "dataset is no table; write [dataset] on a line of its own"),
        ("[dataset]\nvideos = 3\n", "[dataset] videos is 3; write text in quotes, such as"),
        (DATASET + "[extract]\nframes = '8'\n", "[extract] frames is '8'; write a whole number, such as 8"),
        (DATASET + "[extract]\nframes = 8.0\n", "[extract] frames is 8.0; write a whole number"),
        (DATASET + "[extract]\nframes = true\n", "[extract] frames is True; write a whole number"),
        (DATASET + "[extract]\nmodels = 'bundled'\n", "[extract] models is 'bundled'; write a list of texts, such as"),
        (DATASET + "[extract]\nmodels = ['a', 1]\n", "[extract] models is ['a', 1]; write a list of texts"),
        (DATASET + "allow_missing = 1\n", "[dataset] allow_missing is 1; write true or false"),
        (DATASET + "scale = [1]\n", "[dataset] scale is [1]; write two numbers, such as [1.0, 5.0]"),
        (DATASET + "scale = [5, 1]\n", "[dataset] scale is [5.0, 1.0]; write the lower end, then the higher"),
        (DATASET + "scale = [nan, inf]\n", "[dataset] scale is [nan, inf]; write the lower end"),
        (DATASET + "[train]\ntest_fraction = true\n", "[train] test_fraction is True; write a number"),
        (DATASET + "[train]\ntest_fraction = 1.0\n", "[train] test_fraction is 1.0; write one between 0 and 1"),
        (DATASET + "[train]\nsplits = 0\n", "[train] splits is 0; write 1 or more"),
        (DATASET + "[train]\nrandom_state = -1\n", "[train] random_state is -1; write 0 or more"),
        (DATASET + "[select]\nbins = 1\n", "[select] bins is 1; write 2 or more"),
        (DATASET + "[select]\nbin_rule = 'k'\n", "[select] bin_rule is 'k'; write one of: width, count"),
        (
            DATASET + "[extract]\nprecision = 'int8'\n",
            "[extract] precision is 'int8'; write one of: auto, float32, bfloat16",
        ),
        (DATASET + "[extract]\nmodels = []\n", "[extract] models names no model; name a pool or a model spec"),
        (DATASET + "name_template = 'id'\n", "[dataset] name_template is 'id'; put {id} into it"),
        ("[dataset]\nvideos = ''\n", "[dataset] videos is empty, and there are no labels; name a folder or a glob"),
        ("[workspace]\ncache = ''\n" + DATASET, "[workspace] cache is empty; name a folder"),
        ("[dataset\n", "is no TOML ("),
        (DATASET + DATASET, "is no TOML ("),
    ],
)
def test_a_vqa_toml_that_can_not_be_used_is_refused_in_one_line(tmp_path, content, message):
    assert refusal(tmp_path, content).startswith(message)


def test_a_vqa_toml_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "vqa.toml").write_bytes(b"\xff\xfe[dataset]")
    with pytest.raises(WorkspaceError, match=r"vqa\.toml: is no TOML \('utf-8' codec can't decode"):
        open_workspace(tmp_path)
    (tmp_path / "vqa.toml").unlink()
    (tmp_path / "vqa.toml").mkdir()
    with pytest.raises(WorkspaceError, match=r"vqa\.toml: can't be read \(Is a directory\)"):
        open_workspace(tmp_path)


def test_settings_are_checked_where_they_are_made():
    with pytest.raises(WorkspaceError, match=r"\[select\] top_k is 0; write 1 or more"):
        replace(SelectSettings(), top_k=0)


def test_a_folder_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match=r"vqa\.toml: can't be written \(.*\); choose another folder"):
        write_workspace(Workspace(tmp_path / "file", DatasetSettings("clips")))
    with pytest.raises(WorkspaceError, match=r"a path or name in it is no text \(surrogates not allowed\)"):
        write_workspace(Workspace(tmp_path / "new", DatasetSettings("clips\udcff")))
    assert list((tmp_path / "new").iterdir()) == []
