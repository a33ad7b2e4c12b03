"""What a training run starts from, saves, and refuses in one sentence."""

import json
import shutil

import pytest
import torch
from transformers import HfArgumentParser

from tests.support.tiny_training import arguments, command
from training.adapter.arguments import VIFArguments, VIFTrainingArguments
from training.adapter.model import VIFModel
from training.adapter.optim import make_optimizer
from training.adapter.trainer import ByLength
from training.adapter.tuning import save, unfreeze
from training.train_vif import main, make_adapter, train
from vif import load
from vif.adapter import VIFAdapter
from vif.errors import InputError
from vif.model.backbone import Backbone
from vif.settings import Settings


@pytest.fixture(scope="module")
def saved(model, data, tmp_path_factory):
    """A saved adapter that differs from its initial state."""
    folder = tmp_path_factory.mktemp("adapter")
    vif, _ = arguments(model, data, folder)
    adapter = make_adapter(vif, Backbone.load(model))
    torch.nn.init.normal_(adapter.pointer.weight)
    adapter.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_latent_importance": False}, "use_latent_importance is False"),
        ({"map_steps": 3, "box_weight": 0.0}, "no training signal for the map"),
        ({"teacher_prior": 1.5}, "teacher_prior is 1.5, expected a number from 0 to 1"),
        ({"gap_share": -0.1}, "gap_share is -0.1"),
        ({"latent_apply_end": 9}, "model has layers 0 to 5"),
        ({"latent_learning_end": 4}, "must end before the injection range"),
        ({"tune": "everything"}, "expected adapter, lora or full"),
        ({"matrix_optimizer": "sgd"}, "expected adamw or muon"),
        ({"model_name_or_path": "nowhere/at-all-x"}, "no such model|No vision-language model"),
        ({"image_folder": "nowhere"}, "image folder .* does not exist"),
        ({"weights": "nowhere"}, "No adapter at"),
        ({"renderer": "foo"}, "renderer is 'foo'"),
        ({"latent_num_heads": 3}, "cannot be split"),
        (
            {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 2},
            "load_best_model_at_end is not supported",
        ),
    ],
)
def test_impossible_values_are_refused(model, data, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        train(*arguments(model, data, tmp_path, **changes))


def test_a_mistake_gives_one_line_and_status_2(model, data, tmp_path, monkeypatch, capsys):
    cut = tmp_path / "cut"
    shutil.copytree(model, cut)
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    for folder, output, words in (
        (cut, tmp_path / "run", "damaged or cut off"),
        (model, "/dev/null/run", "'/dev/null/run' cannot be used"),
    ):
        monkeypatch.setattr("sys.argv", ["train", *command(*arguments(folder, data, output))])
        assert main() == 2
        told = capsys.readouterr().err
        assert words in told.splitlines()[-1]
        assert "Traceback" not in told


def test_lora_without_vif_is_trained_as_a_control(model, data, tmp_path):
    changes = {"tune": "lora", "lora_rank": 2, "use_latent_importance": False, "max_steps": 2}
    changes |= {"eval_data_path": str(data), "eval_strategy": "steps", "eval_steps": 2}
    changes |= {"matrix_optimizer": "muon"}  # as in `make reproduce-all`: it has nothing to do
    train(*arguments(model, data, tmp_path, **changes))
    train(*arguments(model, data, tmp_path, **changes | {"max_steps": 3}))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").open()]
    (table,) = next(line["validation"] for line in lines if "validation" in line).values()
    assert set(table) == {"plain"}
    shown = [line for line in lines if "loss" in line]
    assert [line["step"] for line in shown] == [1, 2, 3]
    assert all("lm" in line and "kl" not in line for line in shown)
    assert not (tmp_path / "config.json").exists()
    session = load(tmp_path / "lora")
    assert session.adapter is None


def test_lora_is_trained_in_full_precision_on_a_backbone_of_half(model):
    backbone = Backbone.load(model, dtype="float16")
    unfreeze(backbone, "lora", 2, 4.0, 0.0)
    trained = [p.dtype for p in backbone.model.parameters() if p.requires_grad]
    assert set(trained) == {torch.float32}
    assert backbone.model.get_input_embeddings().weight.dtype == torch.float16


def test_no_data_is_refused(model, tmp_path):
    vif, training = arguments(model, "", tmp_path)
    with pytest.raises(InputError, match="No data was given"):
        train(vif, training)


def test_an_adapter_of_another_backbone_or_shape_is_refused(saved, model, data, tmp_path):
    config = saved / "config.json"
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(saved / "model.safetensors", other)
    (other / "config.json").write_text(config.read_text().replace(model.name, "another-model"))
    with pytest.raises(InputError, match="belongs to another-model"):
        train(*arguments(model, data, tmp_path / "run", weights=str(other)))
    with pytest.raises(InputError, match="differs from the flags"):
        train(*arguments(model, data, tmp_path / "run", weights=str(saved), latent_hidden_size=32))


def test_training_begins_from_named_weights(saved, model, data, tmp_path):
    vif, _ = arguments(model, data, tmp_path, weights=str(saved))
    begun = make_adapter(vif, Backbone.load(model)).state_dict()
    saved = VIFAdapter.from_pretrained(saved).state_dict()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in begun.items())


def test_the_adapters_own_beginning_survives_saving(model, data, tmp_path):
    """The published code initialises its generator again when a base checkpoint is loaded."""
    vif, _ = arguments(model, data, tmp_path)
    adapter = make_adapter(vif, Backbone.load(model))
    assert (adapter.gate_head[-1].weight == 0).all()
    width = vif.latent_hidden_size
    assert (adapter.latent.prior_head.bias[width:] == -4).all()
    adapter.save_pretrained(tmp_path, dtype=None)
    again = VIFAdapter.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in adapter.state_dict().items())


def test_published_flag_names_are_understood(tmp_path):
    line = (
        "--use_latent_importance True --latent_learning_start 2 --latent_learning_end 3 "
        "--latent_apply_start 4 --latent_apply_end 6 --latent_layer_stride 2 "
        "--latent_kl_weight 0.2 --latent_sparsity_weight 0.3 --latent_entropy_weight 0.5 "
        "--latent_volume_weight 0.6 --latent_num_components 5 --latent_num_layers 2 "
        "--latent_num_heads 2 --latent_hidden_size 64 --latent_ffn_dim 128 "
        "--latent_min_sigma 0.05 --latent_bias_alpha 0.4 --data_path a.json --image_folder b "
        f"--model_name_or_path c --mm_projector_lr 1e-5 --output_dir {tmp_path} --use_cpu"
    )
    parser = HfArgumentParser((VIFArguments, VIFTrainingArguments))
    vif, args = parser.parse_args_into_dataclasses(line.split())
    assert vif.settings == Settings(learning=(2, 3), injection=(4, 6), stride=2, alpha=0.4)
    assert vif.latent_num_components == 5
    weights = {"lm": 1.0, "kl_over": 0.2, "entropy": 0.15, "volume": 0.18}
    unpublished = {"box": 0.0, "evidence": 0.0, "posterior": 0.0, "repulsion": 0.0}
    assert vif.loss_weights == pytest.approx(weights | unpublished)
    assert args.mm_projector_lr == 1e-5


@pytest.mark.parametrize("tune", ["adapter", "lora", "full"])
def test_tensors_gathered_from_processes_are_saved_alike(model, data, tmp_path, tune):
    backbone = Backbone.load(model)
    unfreeze(backbone, tune, 2, 4.0, 0.0)
    whole = VIFModel(backbone, make_adapter(arguments(model, data, tmp_path)[0], backbone), tune)
    save(whole, tmp_path / "own", None)
    save(whole, tmp_path / "given", None, whole.state_dict())
    names = sorted(path.relative_to(tmp_path / "own") for path in (tmp_path / "own").rglob("*.*"))
    assert len(names) >= {"adapter": 2, "lora": 4, "full": 4}[tune]
    for name in names:
        assert (tmp_path / "own" / name).read_bytes() == (tmp_path / "given" / name).read_bytes()


def test_items_of_like_length_come_together_and_anew_every_epoch():
    lengths = [(7 * i) % 100 for i in range(200)]
    sampler = ByLength(10, lengths, seed=1)
    first, again = list(sampler), list(sampler)
    sampler.set_epoch(1)
    assert first == again
    assert sorted(first) == list(range(200))
    assert list(sampler) != first
    batches = [[lengths[i] for i in first[k : k + 10]] for k in range(0, 200, 10)]
    assert sum(max(batch) - min(batch) for batch in batches) < 20 * 30


def test_every_kind_of_parameter_has_its_learning_rate(model, data, tmp_path):
    changes = {"learning_rate": 1e-3, "mm_projector_lr": 2e-5, "decoder_lr": 3e-5}
    vif, args = arguments(model, data, tmp_path, gate_lr_scale=6.0, weight_decay=0.1, **changes)
    backbone = Backbone.load(model)
    unfreeze(backbone, "full", 0, 0, 0)
    whole = VIFModel(backbone, make_adapter(vif, backbone), "full")
    rate, decay = {}, {}
    for group in make_optimizer(whole, args).param_groups:
        for parameter in group["params"]:
            rate[id(parameter)], decay[id(parameter)] = group["lr"], group["weight_decay"]
    trained = {n: p for n, p in whole.named_parameters() if p.requires_grad}
    assert len(trained) == len(rate)
    expected = {
        "adapter.gate_head": 6e-3,
        "adapter.": 1e-3,
        "vlm.model.multi_modal": 2e-5,
        "vlm.": 3e-5,
    }
    for name, parameter in trained.items():
        wanted = next(value for start, value in expected.items() if name.startswith(start))
        assert rate[id(parameter)] == pytest.approx(wanted), name
        assert decay[id(parameter)] == (0.1 if parameter.ndim > 1 else 0.0), name
