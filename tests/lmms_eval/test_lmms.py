"""The adapter for lmms-eval: answers and likelihoods in batches, and a real run where installed."""

import importlib
import importlib.util
import json
import math
import sys
import tomllib
import types
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.support.tiny import save_tiny, tiny_session
from vif.check.models import tiny_backbone
from vif.errors import InputError
from vif.lmms_eval.asking import Asker, TaskItem, split_text
from vif.lmms_eval.brief import UnrecordedMethod
from vif.methods import Request, find
from vif.model.batch import Batch
from vif.model.generation import generate
from vif.question import Question
from vif.scenes import ask_scene, draw_scene, is_correct
from vif.session import Session, load

ROOT = Path(__file__).parents[2]
INSTALLED = importlib.util.find_spec("lmms_eval") is not None
NUM_SCENES = 10


@pytest.fixture(scope="module")
def session():
    return tiny_session()


def questions(count=5, **options):
    for number in range(count):
        scene = draw_scene(number)
        question = ask_scene(scene, number, 1)[0]
        yield TaskItem(f"scenes[{number}]", [scene.image], question.text, options)


def ignore(_):
    pass


def test_batches_answer_as_one_by_one_and_in_order(session):
    asker = Asker(session, "vif", session.defaults, batch_size=2)
    counted = []
    found = asker.answers(questions(max_new_tokens=4), counted.append)
    alone = [
        session.ask(q.visuals[0], q.text, ["vif"], max_new_tokens=4)["vif"].answer
        for q in questions()
    ]
    assert found == alone
    assert len(set(found)) > 1
    assert counted == [2, 2, 1]


@pytest.mark.parametrize("family", ["llava_next", "qwen2_5_vl"])
def test_images_with_other_numbers_of_tokens_never_share_a_batch(family):
    session = Session(tiny_backbone(family))
    sizes = [(96, 40), (40, 96), (96, 40), (64, 64), (40, 96)]
    pictures = [Image.effect_noise(size, 60).convert("RGB") for size in sizes]
    asked = [TaskItem(str(i), [p], "what is this ?", {"max_new_tokens": 3}) for i, p in
             enumerate(pictures)]  # fmt: skip
    found = Asker(session, "plain", session.defaults, 2).answers(asked, ignore)
    alone = [
        session.ask(p, "what is this ?", ["plain"], max_new_tokens=3)["plain"].answer
        for p in pictures
    ]
    assert found == alone


def test_an_answer_ends_at_the_first_mark(session):
    (whole,) = Asker(session, "plain", session.defaults).answers(
        questions(1, max_new_tokens=6), ignore
    )
    mark = whole[len(whole) // 2]
    (cut,) = Asker(session, "plain", session.defaults).answers(
        questions(1, max_new_tokens=6, until=[mark, "never"]), ignore
    )
    assert cut == whole.split(mark)[0].strip()


def test_a_long_answer_leaves_no_record_of_its_middle(session):
    item = Question(draw_scene(0).image, "What colour is the star?")
    settings = session.defaults.__class__(**{**vars(session.defaults), "max_new_tokens": 6})
    (short,) = session.ask_batch([item], [UnrecordedMethod(find("vif"))], settings)["vif"]
    (full,) = session.ask_batch([item], ["vif"], settings)["vif"]
    assert len(full.rows) == len(full.tokens) == 6
    assert len(short.rows) == 2
    assert short.tokens == full.tokens


def test_likelihood_is_that_of_a_forward_pass_over_the_whole_text(session):
    """Reference: the untouched model reads prompt and target at once."""
    backbone, targets = session.backbone, ["red", "blue star", "left"]
    asked = [TaskItem(q.name, q.visuals, q.text, target=t) for q, t in
             zip(questions(3), targets, strict=True)]  # fmt: skip
    found = Asker(session, "plain", session.defaults, 3).likelihoods(asked, ignore)
    for (value, greedy), one in zip(found, asked, strict=True):
        inputs = dict(backbone.encode(one.image, one.text).inputs)
        target = backbone.processor.tokenizer(one.target, add_special_tokens=False)["input_ids"]
        target = torch.tensor([target])
        inputs["input_ids"] = torch.cat([inputs["input_ids"], target], 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        with torch.no_grad():
            scores = backbone.model(**inputs).logits.log_softmax(-1)
        scores = scores[0, -target.shape[1] - 1 : -1]
        wanted = scores.gather(1, target.T).sum()
        assert value == pytest.approx(float(wanted), abs=1e-3)
        assert greedy == bool((scores.argmax(1) == target[0]).all())


def test_a_methods_own_answer_is_the_likeliest_under_it(monkeypatch):
    session = tiny_session()
    session.backbone.model.generation_config.suppress_tokens = None
    scene, text = draw_scene(0), "What colour is the star?"
    batch = Batch.make(session.backbone, [session.backbone.encode(scene.image, text)])
    tap = find("vif").tap(Request(batch, session.defaults, session.backbone, session.adapter))
    made = generate(session.backbone.model, dict(batch.inputs), tap, 4)
    tokens = [int(step) for step in made.tokens]
    monkeypatch.setattr(Asker, "_tokens", lambda self, asked: tokens)
    asked = [TaskItem("x", [scene.image], text, target="x")]
    ((value, greedy),) = Asker(session, "vif", session.defaults).likelihoods(asked, ignore)
    assert greedy
    assert value == pytest.approx(sum(float(p) for p in made.logprobs), abs=1e-4)
    ((plain, _),) = Asker(session, "plain", session.defaults).likelihoods(asked, ignore)
    assert abs(plain - value) > 1e-3


def test_a_long_text_is_read_in_full():
    text = "<image>\n" + "word " * 900 + "What is this?"
    context, question = split_text(text)
    assert f"{context} {question}" == text.removeprefix("<image>\n")
    assert len(question) <= 2000
    assert split_text("Short?") == ("", "Short?")
    with pytest.raises(InputError, match="50,000 characters"):
        split_text("a" * 50_000)


@pytest.mark.parametrize(
    ("visuals", "options", "words"),
    [
        ([Image.new("RGB", (8, 8))], {"temperature": 0.7}, "greedily"),
        ([Image.new("RGB", (8, 8))], {"num_beams": 3}, "greedily"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(visuals, options, words):
    with pytest.raises(InputError, match=words):
        TaskItem("scenes[7]", visuals, "What?", options).check()
    fine = {"do_sample": False, "temperature": 1.0, "num_beams": 1}
    TaskItem("x", [Image.new("RGB", (8, 8))], "What?", fine).check()


def test_questions_without_an_image_or_with_a_video_do_not_end_a_run(session):
    picture = draw_scene(0).image
    options = {"max_new_tokens": 3}
    asked = [
        TaskItem("a", [picture], "What colour is the star?", options),
        TaskItem("b", [], "What colour is grass?", options),
        TaskItem("c", ["film.mp4"], "What happens?", options),
        TaskItem("d", [picture, picture], "Which one?", options),
        TaskItem("e", [], "What colour is the sky, and what shape is a ring?", options),
    ]
    asker = Asker(session, "vif", session.defaults, batch_size=2)
    counted = []
    found = asker.answers(asked, counted.append)
    assert sum(counted) == 5
    assert asker.counts == {"image": 1, "text": 2, "other": 2}
    assert found[2] == found[3] == ""
    assert all(found[i] for i in (0, 1, 4))
    # A text alone is answered the same alone and in a batch, and whatever the method.
    plain = Asker(session, "plain", session.defaults)
    assert [found[1], found[4]] == plain.answers([asked[1], asked[4]], ignore)


def test_likelihoods_of_texts_alone_sum_to_one_step(session):
    asker = Asker(session, "plain", session.defaults)
    tokenizer = session.backbone.processor.tokenizer
    words = [tokenizer.decode([i]) for i in range(len(tokenizer))]
    targets = [
        word
        for word in words
        if len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1 and word.strip()
    ]
    asked = [TaskItem("x", [], "What is red?", {}, target=word) for word in targets[:40]]
    found = asker.likelihoods([*asked, TaskItem("y", ["film"], "?", {}, target="a")], ignore)
    assert sum(math.exp(value) for value, _ in found) <= 1 + 1e-5
    assert found[-1] == (float("-inf"), False)


# The class that lmms-eval loads


class StandIn:
    """The part of `lmms_eval.api.model.lmms` 0.7.3 that a generating subclass uses."""

    is_simple = True

    def __init__(self):
        self.task_dict = {}


@pytest.fixture
def model_class(monkeypatch):
    """The adapter's class, on lmms-eval's base class if it is installed and a stand-in if not."""
    if not INSTALLED:
        for name in ("lmms_eval", "lmms_eval.api", "lmms_eval.api.model"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        sys.modules["lmms_eval.api.model"].lmms = StandIn
    monkeypatch.delitem(sys.modules, "vif.lmms_eval.model", raising=False)
    yield importlib.import_module("vif.lmms_eval.model").VIFLens
    sys.modules.pop("vif.lmms_eval.model", None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model and an adapter on disk."""
    return save_tiny(tmp_path_factory.mktemp("lmms"))


def test_the_entry_point_names_the_class(model_class):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["lmms_eval.models"] == {"vif_lens": "vif.lmms_eval:manifest"}
    text = (ROOT / "vif" / "lmms_eval" / "__init__.py").read_text()
    assert f"{model_class.__module__}.{model_class.__name__}" in text


def test_requests_of_a_task_are_answered(model_class, folder):
    made = model_class(
        pretrained=str(folder / "model"), adapter=str(folder / "adapter"), method="vif",
        alpha=0.7, injection="4-5", batch_size="2", device=None,
    )  # fmt: skip
    assert (made.asker.settings.alpha, made.asker.settings.injection) == (0.7, (4, 5))
    documents = [{"image": q.visuals[0], "question": q.text} for q in questions(3)]
    made.task_dict = {"scenes": {"test": documents}}

    def show(document):
        return [document["image"]]

    def requests(second):
        return [
            types.SimpleNamespace(args=(d["question"], second, show, i, "scenes", "test"))
            for i, d in enumerate(documents)
        ]

    found = made.generate_until(requests({"max_new_tokens": 3, "until": ["\n\n"]}))
    alone = [
        made.session.ask(
            d["image"], d["question"], ["vif"], alpha=0.7, injection=(4, 5), max_new_tokens=3
        )
        for d in documents
    ]
    assert found == [answer["vif"].answer for answer in alone]
    given = made.loglikelihood(requests(" red"))
    asked = made.loglikelihood(requests(lambda document: "red"))
    assert given == asked
    with pytest.raises(NotImplementedError, match="single questions"):
        made.generate_until_multi_round([])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "magic"}, "Unknown method 'magic'"),
        ({"batch_size": "auto"}, "--batch_size is 'auto'"),
        ({"magic": 1}, "no setting 'magic'"),
        ({"injection": "5"}, "for example 5-7"),
        ({"injection": "4-9"}, "layers 0 to 5"),
        ({"alpha": "much"}, "alpha is 'much'"),
        ({"plain.magic": 1.0}, "no setting 'magic'"),
    ],
)
def test_a_wrong_argument_gives_one_sentence(model_class, folder, arguments, words):
    with pytest.raises(InputError, match=words):
        model_class(pretrained=str(folder / "model"), **{"method": "plain", **arguments})


# A real run


def write_task(folder):
    """A task of generated scenes, as a folder of pictures."""
    (folder / "data" / "test").mkdir(parents=True)
    records = []
    for number in range(NUM_SCENES):
        scene = draw_scene(number, "test")
        question = ask_scene(scene, number, 1)[0]
        scene.image.save(folder / "data" / "test" / f"{number}.png")
        record = {"file_name": f"{number}.png", "question": question.text}
        records.append(record | {"answer": question.answer})
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "data" / "test" / "metadata.jsonl").write_text(lines)
    (folder / "utils.py").write_text(
        "from vif.scenes import is_correct\n"
        "def show(doc):\n    return [doc['image']]\n"
        "def score(doc, results):\n"
        "    return {'right': float(is_correct(results[0], doc['answer']))}\n"
        "def mean(values):\n    return sum(values) / len(values)\n"
    )
    (folder / "scenes.yaml").write_text(
        "task: vif_scenes\ndataset_path: imagefolder\n"
        f"dataset_kwargs:\n  data_dir: {folder / 'data'}\n"
        "test_split: test\noutput_type: generate_until\n"
        "doc_to_visual: !function utils.show\ndoc_to_text: question\ndoc_to_target: answer\n"
        "generation_kwargs:\n  max_new_tokens: 5\n"
        "process_results: !function utils.score\n"
        "metric_list:\n  - metric: right\n    aggregation: !function utils.mean\n"
        "    higher_is_better: true\n"
    )
    return records


@pytest.mark.skipif(not INSTALLED, reason="lmms-eval is not installed: pip install lmms-eval")
def test_lmms_eval_itself_runs_a_task_of_scenes(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    records = write_task(tmp_path)
    from lmms_eval import evaluator
    from lmms_eval.models import MODEL_REGISTRY_V2
    from lmms_eval.tasks import TaskManager

    from vif.lmms_eval import manifest

    MODEL_REGISTRY_V2.register_manifest(manifest(), overwrite=True)
    assets = ROOT / "assets"
    found = evaluator.simple_evaluate(
        model="vif_lens",
        model_args=f"pretrained={assets / 'demo-vlm'},adapter={assets / 'demo-vif'},method=vif",
        tasks=["vif_scenes"],
        task_manager=TaskManager("WARNING", str(tmp_path), include_defaults=False),
        batch_size=4,
    )
    session = load(assets / "demo-vlm", assets / "demo-vif")
    right = [
        is_correct(
            session.ask(
                tmp_path / "data" / "test" / r["file_name"], r["question"], ["vif"],
                max_new_tokens=5,
            )["vif"].answer,
            r["answer"],
        )
        for r in records
    ]  # fmt: skip
    assert found["results"]["vif_scenes"]["right,none"] == pytest.approx(sum(right) / len(right))
