"""Pretrained extractors, on tiny models with random weights that are saved to disk here; nothing is downloaded."""

import json
import pickle
import shutil
import socket
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from core.clip import MODALITY
from core.data import native
from core.extract import captions, extract, extract_clip, extractor, pipeline, pretrained, weights
from core.extract.extractors import named
from core.extract.weights import Weights
from tests.core.extract.made import WALKERS, pictures, write_frames

FRAMES = 70  # five units, the last of 6 frames; two captions, the last of 6 frames
WORDS = ["a", "man", "is", "walking", "car", "moving", "fast", "to", "the", "left", "right", "in", "middle", "nobody"]
TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Any attempt to reach a host fails the test, also one that the libraries would forgive."""
    tried = []

    def refuse(*where, **_):
        tried.append(where)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield
    assert not tried


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """video, image, both (pictures and text), bert, sentences, captioner."""
    import sentence_transformers as st
    import transformers as hf
    from sentence_transformers.sentence_transformer import modules

    hf.utils.logging.set_verbosity_error()
    hf.utils.logging.disable_progress_bar()
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    picture = {"image_size": 32, "patch_size": 16}
    sized = hf.ViTImageProcessorPil(size={"height": 32, "width": 32})

    hf.VideoMAEModel(hf.VideoMAEConfig(**TINY, **picture, num_frames=8)).save_pretrained(root / "video")
    cut = hf.VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    cut.save_pretrained(root / "video")

    vit = hf.ViTConfig(**TINY, **picture)
    hf.ViTModel(vit).save_pretrained(root / "image")
    sized.save_pretrained(root / "image")

    text = TINY | {"vocab_size": 30, "projection_dim": 12, "eos_token_id": 2}
    hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=TINY | picture, projection_dim=12)).save_pretrained(
        root / "both"
    )
    sized.save_pretrained(root / "both")

    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    tokens = hf.BertTokenizer(vocab=vocabulary)
    bert = hf.BertConfig(**TINY, vocab_size=len(vocabulary), max_position_embeddings=64)
    hf.BertModel(bert).save_pretrained(root / "bert")
    tokens.save_pretrained(root / "bert")
    words = modules.Transformer(str(root / "bert"))
    first = modules.Pooling(16, pooling_mode="cls")
    st.SentenceTransformer(modules=[words, first], device="cpu").save(str(root / "sentences"), create_model_card=False)

    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(vit, bert)
    config.decoder_start_token_id, config.eos_token_id, config.pad_token_id = 2, 3, 0
    captioner = hf.VisionEncoderDecoderModel(config)
    with torch.no_grad():  # louder, so that what is seen decides what is said
        for weight in captioner.parameters():
            weight.mul_(8.0)
    captioner.save_pretrained(root / "captioner")
    sized.save_pretrained(root / "captioner")
    tokens.save_pretrained(root / "captioner")
    return root


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> tuple[Path, list[np.ndarray]]:
    """A folder with one clip, and its frames in red, green, blue; colours differ, so that their order matters."""
    root = tmp_path_factory.mktemp("footage")
    made = [
        np.clip(picture * np.array([0.4, 1.0, 1.6]), 0, 255).astype(np.uint8) for picture in pictures(WALKERS, FRAMES)
    ]
    write_frames(root / "clip", made)
    return root, [cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) for picture in made]


@pytest.fixture(scope="module")
def made(models, shown, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "set"
    return out, extract(shown[0], out, modalities=everything(models), workers=0, videos=False)


def everything(models: Path) -> tuple[str, ...]:
    return (
        "motion",
        f"visual=video:{models}/video",
        f"image:{models}/image",
        f"clip=image:{models}/both",
        f"said=caption:{models}/captioner+{models}/bert",
    )


def rows(made, modality: str) -> torch.Tensor:
    return made[1].clips["clip"].features[modality]


def pixels(folder: Path, frame: np.ndarray) -> torch.Tensor:
    """(1, 3, 32, 32) of one frame."""
    import transformers as hf

    processor = hf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    return processor([frame], return_tensors="pt")["pixel_values"].reshape(1, 3, 32, 32)


def test_a_video_row_is_the_mean_state_of_eight_frames_of_the_unit(models, shown, made):
    import transformers as hf

    model = hf.VideoMAEModel.from_pretrained(models / "video").eval()
    expected = []
    for start in range(0, FRAMES, 16):
        seen = [shown[1][min(start + k, FRAMES - 1)] for k in range(1, 16, 2)]
        with torch.no_grad():
            state = model(torch.stack([pixels(models / "video", frame) for frame in seen], dim=1)).last_hidden_state
        expected.append(state[0].sum(0) / state.shape[1])
    torch.testing.assert_close(rows(made, "visual"), torch.stack(expected))
    assert rows(made, "visual").std(dim=0).max() > 0


def test_an_image_row_is_the_mean_over_four_frames_of_the_unit(models, shown, made):
    import transformers as hf

    plain = hf.ViTModel.from_pretrained(models / "image").eval()
    both = hf.CLIPModel.from_pretrained(models / "both").eval()
    for unit in range(5):
        seen = [shown[1][min(16 * unit + k, FRAMES - 1)] for k in (2, 6, 10, 14)]
        with torch.no_grad():
            states = [plain(pixels(models / "image", frame)).last_hidden_state[0].mean(0) for frame in seen]
            pooled = [both.vision_model(pixels(models / "both", frame)).pooler_output[0] for frame in seen]
            embedded = [both.visual_projection(values) for values in pooled]
        torch.testing.assert_close(rows(made, "image")[unit], torch.stack(states).mean(0))
        torch.testing.assert_close(rows(made, "clip")[unit], torch.stack(embedded).mean(0))


def test_a_caption_is_the_likeliest_words_and_a_row_its_mean_state(models, shown, made):
    import transformers as hf

    said = captions(made[0], "clip")["said"]
    assert [(caption.start, caption.stop) for caption in said] == [(0, 64), (64, FRAMES)]
    captioner = hf.VisionEncoderDecoderModel.from_pretrained(models / "captioner").eval()
    tokens = hf.AutoTokenizer.from_pretrained(models / "bert")
    model = hf.BertModel.from_pretrained(models / "bert").eval()
    for caption, frame, units in ((said[0], 32, range(4)), (said[1], FRAMES - 1, range(4, 5))):
        words = torch.tensor([[2]])
        with torch.no_grad():
            while words.shape[1] <= 32 and words[0, -1] != 3:  # word by word, without the cache of `generate`
                logits = captioner(pixels(models / "captioner", shown[1][frame]), decoder_input_ids=words).logits
                words = torch.cat([words, logits[:, -1:].argmax(-1)], dim=1)
            assert caption.text == tokens.decode(words[0], skip_special_tokens=True)
            state = model(**tokens(caption.text, return_tensors="pt")).last_hidden_state[0]
        for unit in units:
            torch.testing.assert_close(rows(made, "said")[unit], state.mean(0))


def test_sentence_encoders_pool_as_they_are_told(models):
    import transformers as hf

    sentences = ["a man is walking", "a car moving fast to the left"]
    tokens = hf.AutoTokenizer.from_pretrained(models / "bert")
    model = hf.BertModel.from_pretrained(models / "bert").eval()
    with torch.no_grad():
        found = [model(**tokens(sentence, return_tensors="pt")) for sentence in sentences]
    first = torch.cat([f.last_hidden_state[:, 0] for f in found]).numpy()
    pooled = torch.cat([f.pooler_output for f in found]).numpy()
    bert, own = Weights(str(models / "bert")), Weights(str(models / "sentences"))
    np.testing.assert_allclose(pretrained.sentence_encoder(bert, "cls")(sentences), first, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pretrained.sentence_encoder(bert, "pooler")(sentences), pooled, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pretrained.sentence_encoder(own)(sentences), first, rtol=1e-5, atol=1e-6)


def test_the_dataset_says_what_made_its_features(models, made):
    out, dataset = made
    assert dataset.extractors["visual"].startswith("video encoder video: ")
    assert dataset.extractors["said"] == "captions by captioner every 64 frames; sentence encoder bert"
    settings = native.load_index(out)["modalities"]["said"]["settings"]
    captioner, bert = (Weights(str(models / name)).fingerprint() for name in ("captioner", "bert"))
    assert settings["models"] == [captioner, bert]
    assert len(captioner) == 64
    assert captioner != bert


def test_worker_processes_give_the_same_bytes(models, shown, made, tmp_path):
    told = []
    extract(
        shown[0], tmp_path / "again", modalities=everything(models), workers=1, videos=False, progress=told.append,
        name=made[1].name,
    )  # fmt: skip
    for file in ("dataset.json", "captions/clip.json"):
        assert (tmp_path / "again" / file).read_text() == (made[0] / file).read_text()
    counts = [p.done for p in told]
    assert counts == sorted(counts)
    assert counts[-1] == 3 * FRAMES
    assert len({p.done for p in told if p.stage == "describe"}) > 3


def test_a_model_is_loaded_once_for_all_clips(models, shown, tmp_path, monkeypatch):
    pretrained.visual_model.cache_clear()
    loaded = []
    whole = pretrained._model
    monkeypatch.setattr(pretrained, "_model", lambda *what: loaded.append(what) or whole(*what))
    for name in ("one", "two"):
        shutil.copytree(shown[0] / "clip", tmp_path / "footage" / name)
    extract(tmp_path / "footage", tmp_path / "out", modalities=[f"image:{models}/image"], workers=0, videos=False)
    assert len(loaded) == 1


def test_clips_that_were_described_are_not_described_again(models, shown, tmp_path, monkeypatch):
    for name in ("one", "two"):
        shutil.copytree(shown[0] / "clip", tmp_path / "footage" / name)
    whole, done = pipeline.describe_clip, []

    def fails_at_the_second(clip, *rest):
        if done:
            raise KeyboardInterrupt
        done.append(clip.footage.name)
        return whole(clip, *rest)

    monkeypatch.setattr(pipeline, "describe_clip", fails_at_the_second)
    given = {"modalities": [f"image:{models}/image"], "workers": 0, "videos": False}
    with pytest.raises(KeyboardInterrupt):
        extract(tmp_path / "footage", tmp_path / "out", **given)
    monkeypatch.setattr(
        pipeline, "describe_clip", lambda clip, *rest: done.append(clip.footage.name) or whole(clip, *rest)
    )
    dataset = extract(tmp_path / "footage", tmp_path / "out", **given)
    assert done == ["one", "two"]
    torch.testing.assert_close(*(clip.features["image"] for clip in dataset.clips.values()), rtol=0, atol=0)


def test_an_upload_is_refused_when_the_weights_have_changed(models, shown, tmp_path):
    shutil.copytree(models / "image", tmp_path / "model")
    made = extract(shown[0], tmp_path / "set", modalities=[f"image:{tmp_path}/model"], workers=0, videos=False)
    joined = extract_clip(shown[0], tmp_path / "set", tmp_path / "joined", workers=0, videos=False)
    torch.testing.assert_close(joined.clips["clip"].features, made.clips["clip"].features, rtol=0, atol=0)
    weights._fingerprint.cache_clear()
    shutil.copy(models / "captioner" / "model.safetensors", tmp_path / "model" / "model.safetensors")
    with pytest.raises(ValueError, match="modality 'image' was made by other weights"):
        extract_clip(shown[0], tmp_path / "set", tmp_path / "again", workers=0)


def test_a_hub_name_is_looked_up_on_this_machine_only(models, tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="'owner/tiny' is not on this machine: add --download"):
        extractor("visual=video:owner/tiny").fetch(download=False)
    kept = tmp_path / "models--owner--tiny"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("0" * 40)
    shutil.copytree(models / "video", kept / "snapshots" / ("0" * 40))
    for name in ("owner/tiny", f"owner/tiny@{'0' * 40}"):
        assert Weights(name).folder() == kept / "snapshots" / ("0" * 40)
    assert Weights("owner/tiny").fingerprint() == Weights(str(models / "video")).fingerprint()


def test_the_hub_is_asked_only_on_request_and_never_for_pickles(models, monkeypatch):
    import huggingface_hub

    asked = []

    def snapshot(name, **given):
        asked.append((name, given["revision"], given["local_files_only"]))
        assert not any(fits.endswith((".bin", ".py", ".pt", "*")) for fits in given["allow_patterns"])
        return str(models / "video")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    Weights("owner/tiny").folder()
    Weights("owner/tiny@v2").folder(download=True)
    assert asked == [("owner/tiny", None, True), ("owner/tiny", "v2", False)]


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("beside", [False, True])
def test_pickled_weights_are_refused_unopened(models, tmp_path, beside):
    """Also where another part of the same model is a safetensors file."""
    shutil.copytree(models / "image", tmp_path / "model")
    target = tmp_path / "model" / "pytorch_model.bin"
    if beside:
        (tmp_path / "model" / "1_Dense").mkdir()
        target = tmp_path / "model" / "1_Dense" / "pytorch_model.bin"
    else:
        (tmp_path / "model" / "model.safetensors").unlink()
    target.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(ValueError, match="has no safetensors weights"):
        extractor(f"image:{tmp_path}/model").fetch(False)
    assert not (tmp_path / "exploded").exists()


def test_code_that_comes_with_a_model_is_not_run(models, tmp_path):
    for kind in ("bert", "sentences"):
        shutil.copytree(models / kind, tmp_path / kind)
        (tmp_path / kind / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    config = json.loads((tmp_path / "bert" / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
    (tmp_path / "bert" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="cannot be used"):
        extractor(f"caption:{models}/captioner+{tmp_path}/bert").fetch(False)
    parts = json.loads((tmp_path / "sentences" / "modules.json").read_text())
    parts[1]["type"] = "own.Own"
    (tmp_path / "sentences" / "modules.json").write_text(json.dumps(parts))
    with pytest.raises(ValueError, match="cannot be used"):
        pretrained.sentence_encoder(Weights(str(tmp_path / "sentences")))
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_not_in_the_file_are_not_made_up(models, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(models / "bert", tmp_path / "bert")
    file = tmp_path / "bert" / "model.safetensors"
    kept = {name: values for name, values in load_file(file).items() if "pooler" not in name}
    save_file(kept, file, metadata={"format": "pt"})
    bert = Weights(str(tmp_path / "bert"))
    pretrained.sentence_encoder(bert, "cls")
    with pytest.raises(ValueError, match="lacks 2 weights"):
        pretrained.sentence_encoder(bert, "pooler")
    save_file({name: v for name, v in kept.items() if "layer.1" not in name}, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="they would be random"):
        pretrained.sentence_encoder(bert, "mean")


@pytest.mark.parametrize(
    ("modality", "reason"),
    [
        ("visual=vidio:owner/model", "there is no extractor 'vidio:owner/model'; there are motion"),
        ("video:/nowhere/at/all", "there is no such folder"),
        ("video:{models}", "no config.json"),
        ("video:{models}/image", "no video encoder"),
        ("video:no hub name", "neither a folder nor a hub name"),
        ("video:../../../x y", "there is no such folder"),
        ("caption:{models}/captioner", "wants caption:<captioner>"),
        ("caption:{models}/captioner+{models}/bert#top", "after # stands one of mean, cls, pooler"),
        ("a b=motion", "is no modality name"),
    ],
)
def test_what_will_not_work_is_told_before_the_work(models, shown, tmp_path, modality, reason):
    with pytest.raises(ValueError, match=reason):
        extract(shown[0], tmp_path / "out", modalities=[modality.format(models=models)], workers=0)
    assert not list(tmp_path.iterdir())


def test_weights_that_do_not_fit_are_told_before_any_clip_is_opened(models, shown, tmp_path):
    shutil.copytree(models / "bert", tmp_path / "bert")
    shutil.copy(models / "image" / "model.safetensors", tmp_path / "bert" / "model.safetensors")
    told = []
    said = f"said=caption:{models}/captioner+{tmp_path}/bert"
    with pytest.raises(ValueError, match="/bert' (lacks|cannot be used)"):
        extract(shown[0], tmp_path / "out", modalities=[said], workers=0, progress=told.append)
    assert not told


def test_two_modalities_of_one_name_are_refused(models, shown, tmp_path):
    with pytest.raises(ValueError, match="two modalities are called 'image'"):
        extract(shown[0], tmp_path / "out", modalities=[f"image:{models}/image", f"image:{models}/both"])


def test_missing_packages_are_told_with_the_command(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match="pip install -r requirements-pretrained.txt"):
        extractor(f"video:{models}/video").fetch(False)


def test_names_fit_a_dataset():
    for modality in ("video:owner/model", "image:/a=b/c", "caption:a+b", "visual=video:a/b@refs/pr/1"):
        assert MODALITY.fullmatch(named(modality)[0])
    assert named("image:/a=b/c") == ("image", "image:/a=b/c")
