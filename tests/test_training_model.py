"""Training computes what inference computes, from shared image prefixes."""


import pytest
import torch

from tests.tiny import tiny_adapter, tiny_model
from training.batches import Collator
from training.encoding import Conversations, Encoder
from training.model import VIFModel
from training.plan import Plan
from training.processor import build_processor
from training.records import Records, Skipped
from vif.backbone import Backbone
from vif.lens import Batch
from vif.methods import Request, find
from vif.scenes.export import Diet, export_scenes
from vif.session import Session
from vif.settings import Settings

SETTINGS = Settings(learning=(1, 2), injection=(3, 5), alpha=0.6)


@pytest.fixture(scope="module")
def backbone():
    return Backbone(tiny_model(), build_processor(), "tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory, backbone):
    folder = tmp_path_factory.mktemp("scenes")
    diet = Diet(questions=4, text=20, least_text=1, text_share=0.5, apart=True)
    path = export_scenes(folder, "train", 3, diet=diet)
    return Conversations(Records(path, folder, Skipped(None)), Encoder(backbone))


@torch.no_grad()
def session_logits(session, item, turn, settings, method):
    """Logits behind every answer token as the session's own prompts and taps give them."""
    from vif.images import open_image

    image = open_image(item)
    context = turn.text.removesuffix(turn.question).strip()
    prompt = session.backbone.encode(image, turn.question, context)
    batch = Batch.make(session.backbone, [prompt])
    tap = find(method).tap(
        Request(batch, settings, session.backbone.num_heads, session.adapter, None, None)
    )
    logits, tokens = [], []
    tokenizer = session.backbone.processor.tokenizer
    answer = [
        *tokenizer(turn.answer, add_special_tokens=False)["input_ids"],
        tokenizer.eos_token_id,
    ]
    inputs = dict(session.backbone.collate([prompt]))
    out = session.backbone.model(**inputs, use_cache=True, vif=tap)
    for token in answer:
        logits.append(out.logits[0, -1])
        tokens.append(token)
        ids = torch.tensor([[token]])
        out = session.backbone.model(
            input_ids=ids, past_key_values=out.past_key_values, use_cache=True, vif=tap
        )
    return torch.stack(logits), torch.tensor(tokens)


@pytest.mark.parametrize(("source", "method"), [("plain", "plain"), ("vif", "vif")])
def test_training_logits_are_those_of_inference(backbone, data, source, method):
    adapter = tiny_adapter()
    session = Session(backbone, adapter)
    model = VIFModel(backbone, adapter).eval()
    items = [data[0], data[1]]
    shard = Collator(model.whole)(items)["shards"][0]
    with torch.no_grad():
        found = model.run(shard, Plan(SETTINGS, source=source)).answers
    checked = 0
    for q, turn in enumerate(shard["turns"]):
        if turn is None:
            continue
        item = items[q // 4]
        path = data.records.image_folder / item.name
        logits, tokens = session_logits(session, path, turn, SETTINGS, method)
        mine = found.question == q
        assert found.labels[mine].tolist() == tokens.tolist()
        assert torch.allclose(found.logits[mine], logits, atol=2e-4), turn
        checked += 1
    assert checked == 8
