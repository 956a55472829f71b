"""A hub that lies, or whoever answers in its place: nothing lands outside the cache, no wrong byte is used or stays."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import timm
import torch
from hubserver import COMMIT, Answer, Hub, hub_server
from safetensors.torch import save
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from vqa.errors import WeightsError
from vqa.extract.backends import find_backend
from vqa.extract.backends.hub import weights_from
from vqa.extract.spec import parse_spec

TIMM, CLIPS = "timm:test_resnet.r160_in1k", "transformers:who/what"
WEIGHTS = "timm/test_resnet.r160_in1k/model.safetensors"

Run = Callable[..., tuple[int, str, str]]
Lie = Callable[[str, str, Answer], Answer]


@pytest.fixture(scope="module")
def served() -> Mapping[str, bytes]:
    """What the hub has: an image network, and a video network with its configuration."""
    torch.manual_seed(0)
    options = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    config = VideoMAEConfig(**options, image_size=32, num_frames=4, patch_size=16)
    network = VideoMAEForVideoClassification(config)
    config.architectures = ["VideoMAEForVideoClassification"]
    preprocessing = {"size": 36, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return {
        WEIGHTS: save(timm.create_model("test_resnet", pretrained=False).state_dict()),
        "who/what/config.json": config.to_json_string(use_diff=False).encode(),
        "who/what/preprocessor_config.json": json.dumps(preprocessing).encode(),
        "who/what/model.safetensors": save(network.state_dict(), {"format": "pt"}),
    }


@pytest.fixture
def hub(served: Mapping[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_server() as hub:
        hub.files.update(served)
        hub.is_asked(monkeypatch)
        yield hub


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder for weights beside a folder from which Python would run code."""
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def lying(**headers: str | None) -> Lie:
    """Answer each question for weights with these headers instead; None leaves one out."""

    def lie(_: str, name: str, true: Answer) -> Answer:
        if name != WEIGHTS:
            return true
        told = {**true.headers, **{key.replace("_", "-"): value for key, value in headers.items()}}
        return Answer(true.status, {key: value for key, value in told.items() if value is not None}, true.body)

    return lie


def loaded(spec: str, cache: Path) -> Mapping[str, torch.Tensor]:
    with weights_from(folder=cache):
        return find_backend(spec.partition(":")[0]).load(parse_spec(spec)).state_dict()


def refused(hub: Hub, cache: Path, *parts: str, spec: str = TIMM, lie: Lie | None = None) -> str:
    """See a lie refused in one line, nothing written outside the cache, and the truth believed afterwards."""
    hub.lie = lie or hub.lie
    with pytest.raises(WeightsError) as caught:
        loaded(spec, cache)
    outside = [path for path in cache.parent.rglob("*") if cache not in (path, *path.parents)]
    assert outside == [cache.parent / "site-packages"]
    message = str(caught.value)
    assert message.startswith(f"{spec}: ")
    assert message.isprintable()
    assert len(message) < 600
    assert [part for part in parts if part not in message] == []
    files = [path for path in cache.rglob("*") if path.is_file() and not path.name.endswith((".lock", "main"))]
    assert {path.read_bytes() for path in files} <= set(hub.files.values())
    hub.lie = None
    assert len(loaded(spec, cache)) >= 10
    return message


def believed(hub: Hub, cache: Path, spec: str = TIMM) -> None:
    """See weights loaded as they were sent, and kept."""
    assert len(loaded(spec, cache)) >= 10
    repository = WEIGHTS.rpartition("/")[0] if spec == TIMM else "who/what"
    snapshot = cache / "hub" / f"models--{repository.replace('/', '--')}" / "snapshots" / COMMIT
    assert (snapshot / "model.safetensors").read_bytes() == hub.files[f"{repository}/model.safetensors"]
    hub.lie = lambda *_: pytest.fail("the hub was asked")
    with weights_from(offline=True, folder=cache):
        find_backend(spec.partition(":")[0]).load(parse_spec(spec))


HASHES = {
    "absolute": "{root}/site-packages/evil.pth",
    "upwards": "../../../../site-packages/evil.pth",
    "backslash": "..\\..\\..\\..\\site-packages\\evil.pth",
    "long": "a" * 4000,
    "empty": "",
    "dots": "..",
    "md5": "0" * 32,
    "capitals": "A" * 64,
    "with a suffix": f"{'a' * 64}.pth",
    "escape": "\x1b[2J",
    "no ascii": "\xe9" * 64,
}


@pytest.mark.parametrize(
    ("header", "given"),
    [
        *(("X_Linked_Etag", given) for given in HASHES.values()),
        *(("ETag", HASHES[name]) for name in ("absolute", "dots")),
    ],
)
def test_a_hash_that_is_none_becomes_no_path(hub: Hub, cache: Path, header: str, given: str) -> None:
    told = f'"{given.format(root=cache.parent)}"'
    plain = {"X_Linked_Etag": None} if header == "ETag" else {}
    refused(
        hub, cache, "hub at http://127.0.0.1", "which is none" if given else "", lie=lying(**plain, **{header: told})
    )


@pytest.mark.parametrize(
    "given", [*(HASHES[name] for name in HASHES if name not in ("empty", "md5")), "0" * 39, f"{COMMIT}/..", "main"]
)
def test_a_commit_that_is_none_becomes_no_path(hub: Hub, cache: Path, given: str) -> None:
    told = given.format(root=cache.parent)
    refused(hub, cache, *(["which is none"] if given.isprintable() else []), lie=lying(X_Repo_Commit=told))


def test_the_commit_of_a_file_that_is_not_there_becomes_no_path_either(hub: Hub, cache: Path) -> None:
    """huggingface_hub notes that it is absent, by an empty file in a folder named by the commit."""
    content = hub.files.pop(WEIGHTS)
    hub.lie = lying(X_Repo_Commit=f"{cache.parent}/site-packages")
    with pytest.raises(WeightsError):
        loaded(TIMM, cache)
    assert list((cache.parent / "site-packages").iterdir()) == []
    hub.lie = None
    hub.files[WEIGHTS] = content
    believed(hub, cache)


def test_headers_no_line_can_hold_are_one_line(hub: Hub, cache: Path) -> None:
    refused(hub, cache, lie=lying(X_Linked_Etag='"a\0b"'))


@pytest.mark.parametrize("size", [-1, 0, 1, 10**18])
def test_a_size_that_is_not_that_of_what_is_sent_is_refused(hub: Hub, cache: Path, size: int) -> None:
    refused(hub, cache, f"announces {size} bytes" if size < 2 else "GB are free", lie=lying(X_Linked_Size=str(size)))


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_byte_more_or_less_than_announced_is_refused(hub: Hub, cache: Path, difference: int) -> None:
    size = len(hub.files[WEIGHTS]) + difference
    refused(hub, cache, f"announces {size} bytes and sends", lie=lying(X_Linked_Size=str(size)))


def test_no_size_at_all_is_refused(hub: Hub, cache: Path) -> None:
    refused(hub, cache, "weights can't be had", lie=lying(X_Linked_Size=None, Content_Length=None))


def changed(content: bytes) -> bytes:
    return bytes([*content[:-1], content[-1] ^ 1])


def sending(body: Callable[[bytes], bytes], **headers: str) -> Lie:
    """Send other bytes than announced, with other headers."""

    def lie(method: str, name: str, true: Answer) -> Answer:
        if method == "HEAD" or true.status != 200:
            return true
        sent = body(true.body)
        told = {"Content-Length": str(len(sent)), **{key.replace("_", "-"): value for key, value in headers.items()}}
        return Answer(200, {**true.headers, **told}, sent)

    return lie


@pytest.mark.parametrize("is_large", [True, False])
def test_other_bytes_of_the_same_length_are_neither_used_nor_kept(hub: Hub, cache: Path, is_large: bool) -> None:
    hub.large = hub.large if is_large else frozenset()
    refused(hub, cache, "announces the hash ", "... and sends bytes of ", lie=sending(changed))


def test_a_configuration_with_other_bytes_is_neither_used_nor_kept(hub: Hub, cache: Path) -> None:
    refused(hub, cache, "sends bytes of ", "who/what/config.json", spec=CLIPS, lie=sending(changed))


def test_bytes_packed_twice_are_not_unpacked(hub: Hub, cache: Path) -> None:
    refused(hub, cache, "packed as 'gzip, gzip'", lie=sending(changed, Content_Encoding="gzip, gzip"))


def test_an_answer_that_ends_too_early_is_refused(hub: Hub, cache: Path) -> None:
    size = len(hub.files[WEIGHTS])
    refused(hub, cache, "weights can't be had", lie=sending(lambda body: body[:1000], Content_Length=str(size)))
    assert len([method for method, name in hub.asked if method == "GET"]) == 5  # four tries, and the truth


def test_a_download_that_breaks_off_is_gone_on_with(hub: Hub, cache: Path) -> None:
    first: list[int] = []

    def lie(method: str, name: str, true: Answer) -> Answer:
        if method == "HEAD" or not true.body or len(first) == 2:
            return true
        first.append(len(true.body))
        return Answer(true.status, true.headers, true.body[:200_000])

    hub.lie = lie
    loaded(TIMM, cache)
    assert len(hub.files[WEIGHTS]) - first[1] >= 100_000  # the second answer was no longer the whole
    believed(hub, cache)


@pytest.mark.parametrize("honest", [1, 2, 3])
def test_answers_that_change_between_questions_lead_nowhere(hub: Hub, cache: Path, honest: int) -> None:
    """The path is in every answer but the first ones: whichever answer is used must be the one that was checked."""
    evil, asked = lying(X_Linked_Etag=f'"{cache.parent}/site-packages/evil.pth"'), iter(range(99))
    hub.lie = lambda method, name, true: true if name != WEIGHTS or next(asked) < honest else evil(method, name, true)
    for _ in range(3):
        with contextlib.suppress(WeightsError):
            loaded(TIMM, cache)
    assert list((cache.parent / "site-packages").iterdir()) == []
    hub.lie = None
    believed(hub, cache)


def test_files_of_two_commits_are_not_mixed(hub: Hub, cache: Path) -> None:
    def lie(_: str, name: str, true: Answer) -> Answer:
        other = {"X-Repo-Commit": "b" * 40} if name == "who/what/model.safetensors" else {}
        return Answer(true.status, {**true.headers, **other}, true.body)

    refused(hub, cache, "announces commit bbbbbbbbbbbb of 5eed", spec=CLIPS, lie=lie)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("to", ["file:///etc/hostname", "//[", "http://127.0.0.1:1/x"])
def test_a_redirect_to_what_is_no_web_address_is_one_line(hub: Hub, cache: Path, to: str, method: str) -> None:
    def lie(asked: str, name: str, true: Answer) -> Answer:
        if name != WEIGHTS or asked != method:
            return true
        return Answer(302, {**true.headers, "Location": to, "Content-Length": "0"})

    if method == "GET":
        refused(hub, cache, "weights can't be had", lie=lie)
        return
    hub.lie = lie
    with contextlib.suppress(WeightsError):  # it says only where the bytes are, which are asked for at the hub
        loaded(TIMM, cache)
    assert [path.name for path in cache.parent.iterdir() if path != cache] == ["site-packages"]
    hub.lie = None
    believed(hub, cache)


@pytest.mark.parametrize("is_true", [True, False])
def test_another_host_may_send_the_bytes_if_they_are_those_announced(hub: Hub, cache: Path, is_true: bool) -> None:
    with hub_server() as other:
        other.files.update(hub.files)
        other.lie = None if is_true else sending(changed)

        def lie(method: str, name: str, true: Answer) -> Answer:
            if name != WEIGHTS:
                return true
            place = f"{other.address}/{WEIGHTS.replace('/model', f'/resolve/{COMMIT}/model')}"
            return Answer(302, {**true.headers, "Location": place, "Content-Length": "0"})

        if is_true:
            hub.lie = lie
            loaded(TIMM, cache)
            believed(hub, cache)
        else:
            refused(hub, cache, "sends bytes of", lie=lie)
        assert other.asked == [("GET", WEIGHTS)]


def test_wrong_bytes_that_were_kept_before_are_found_and_replaced(hub: Hub, cache: Path) -> None:
    believed(hub, cache)
    blob = next((cache / "hub").glob("models--*/blobs/*"))
    assert blob.name == hashlib.sha256(blob.read_bytes()).hexdigest()
    blob.write_bytes(changed(blob.read_bytes()))
    told = r"its bytes are not those of the hash [0-9a-f]{12}.*vqa models fetch timm:"
    with weights_from(offline=True, folder=cache), pytest.raises(WeightsError, match=told):
        find_backend("timm").load(parse_spec(TIMM))
    hub.lie = None
    believed(hub, cache)


def test_a_download_that_died_leaves_nothing_for_long(hub: Hub, cache: Path) -> None:
    blobs = cache / "hub" / f"models--{WEIGHTS.rpartition('/')[0].replace('/', '--')}" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f".{'a' * 64}.1-00.tmp").write_bytes(b"half")
    believed(hub, cache)
    assert [path.name for path in blobs.iterdir()] == [hashlib.sha256(hub.files[WEIGHTS]).hexdigest()]


@pytest.mark.parametrize("key", ["transformers_weights", "quantization_config"])
def test_a_configuration_that_leads_to_other_weights_is_refused(hub: Hub, cache: Path, key: str) -> None:
    config = json.loads(hub.files["who/what/config.json"])
    value = {"transformers_weights": "../x.safetensors", "quantization_config": {"quant_method": "bitsandbytes"}}[key]
    hub.files["who/what/config.json"] = json.dumps({**config, key: value}).encode()
    with pytest.raises(WeightsError, match=key):
        loaded(CLIPS, cache)


def test_fetch_tells_each_lie_in_a_line_and_goes_on(hub: Hub, cache: Path, run: Run) -> None:
    hub.lie = lying(X_Linked_Etag=f'"{cache.parent}/site-packages/evil.pth"')
    status, out, err = run("models", "fetch", TIMM, "classic:nss", "--weights-dir", cache)
    assert (status, "Weights of 1 of 2 models are here" in out) == (3, True)
    assert len([line for line in (out + err).splitlines() if "which is none" in line]) == 1
    assert list((cache.parent / "site-packages").iterdir()) == []
