"""lmms-eval's own tasks of the published rows, on a few generated pictures: every scoring kind."""

import importlib.util
import json
from pathlib import Path

import pytest
from PIL import Image

from vif.lmms_eval.rows import ROWS
from vif.lmms_eval.table import figure, read_results

INSTALLED = importlib.util.find_spec("lmms_eval") is not None
ASSETS = Path(__file__).parents[2] / "assets"
COLOURS = ("red", "green", "blue", "yellow")
LETTERS = "ABCD"
MULTIPLE = "A. red\nB. green\nC. blue\nD. yellow"
# By row: its file among lmms-eval's tasks, and what its columns hold for picture i.
TASKS = {
    "vqav2": ("vqav2/vqav2_val.yaml", lambda i: {
        "question": "What colour is it?", "answers": [{"answer": COLOURS[i]}] * 10,
        "multiple_choice_answer": COLOURS[i], "question_type": "what", "answer_type": "other",
        "question_id": i,
    }),
    "scienceqa": ("scienceqa/scienceqa_img.yaml", lambda i: {
        "question": "Which?", "choices": list(COLOURS), "answer": i, "hint": "Look."}),
    "textvqa": ("textvqa/textvqa_val.yaml", lambda i: {
        "question": "what is it", "answers": [COLOURS[i]] * 10, "answer": COLOURS[i],
        "question_id": i, "image_id": str(i)}),
    "ai2d": ("ai2d/ai2d.yaml", lambda i: {
        "question": "Which?", "options": list(COLOURS), "answer": str(i)}),
    "mme": ("mme/mme.yaml", lambda i: {
        "question": f"Is it {COLOURS[i]}? Please answer yes or no.",
        "answer": ("Yes", "No")[i % 2], "question_id": f"{i // 2}.png", "category": "color"}),
    "refcoco-testA": ("refcoco/refcoco_bbox_rec_testA.yaml", lambda i: {
        "answer": [f"the {COLOURS[i]} one", "it"], "bbox": [4.0, 4.0, 20.0, 12.0],
        "question_id": str(i)}),
    "vstar": ("vstar_bench/vstar_bench.yaml", lambda i: {
        "text": f"Which?\n{MULTIPLE}", "label": LETTERS[i], "question_id": str(i),
        "category": "direct_attributes"}),
    "realworldqa": ("realworldqa/realworldqa.yaml", lambda i: {
        "question": "What colour is it?", "answer": COLOURS[i]}),
    "mmstar": ("mmstar/mmstar.yaml", lambda i: {
        "question": f"Which?\n{MULTIPLE}", "answer": LETTERS[i], "index": i, "category": "math",
        "l2_category": "geometry"}),
    "pope": ("pope/pope.yaml", lambda i: {
        "question": f"Is it {COLOURS[i]}?", "answer": ("yes", "no")[i % 2],
        "question_id": str(i), "category": "random"}),
    "countbench": ("countbench/countbench.yaml", lambda i: {
        "question": "How many?", "number": i + 1}),
}  # fmt: skip
NOT_HERE = {
    "gqa": "reads its pictures from a second data set; exact_match as in realworldqa",
    "seedbench": "has lists of pictures, which a folder of pictures cannot hold",
    "llavabench": "is judged by a model behind an interface",
    "refcoco-testB": "is scored as testA",
}


def test_every_row_is_run_or_says_why_not():
    assert set(TASKS) | set(NOT_HERE) == {row.name for row in ROWS}
    assert not set(TASKS) & set(NOT_HERE)


def write_task(folder, name, tasks):
    """A copy of a task that reads four pictures of a folder."""
    file, columns = TASKS[name]
    row = next(row for row in ROWS if row.name == name)
    split = {"vqav2_val": "validation", "textvqa_val": "validation", "mmstar": "val",
             "refcoco_bbox_rec_testA": "testA"}.get(row.task, "test")  # fmt: skip
    data = folder / name / "test"
    data.mkdir(parents=True)
    lines = []
    for i, colour in enumerate(COLOURS):
        Image.new("RGB", (60, 40 + 10 * i), colour).save(data / f"{i}.png")
        lines.append(json.dumps({"file_name": f"{i}.png"} | columns(i)))
    (data / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    (folder / f"{name}.yaml").write_text(
        f"include: {tasks / file}\ntask: local_{row.task}\ndataset_path: imagefolder\n"
        f"dataset_name: null\ndataset_kwargs:\n  data_files:\n    {split}: {data}/**\n"
        f"test_split: {split}\n{'group' if row.task.startswith('refcoco') else 'tag'}: []\n"
    )
    return f"local_{row.task}"


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="lmms-eval is not installed: pip install lmms-eval")
def test_the_published_rows_are_scored_by_lmms_eval_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    import lmms_eval
    from lmms_eval import evaluator
    from lmms_eval.models import MODEL_REGISTRY_V2
    from lmms_eval.tasks import TaskManager

    from vif.lmms_eval import manifest

    MODEL_REGISTRY_V2.register_manifest(manifest(), overwrite=True)
    tasks = Path(lmms_eval.__file__).parent / "tasks"
    names = {name: write_task(tmp_path / "tasks", name, tasks) for name in TASKS}
    found = evaluator.simple_evaluate(
        model="vif_lens",
        model_args=f"pretrained={ASSETS / 'demo-vlm'},method=plain",
        tasks=list(names.values()),
        task_manager=TaskManager("WARNING", str(tmp_path / "tasks"), include_defaults=False),
        gen_kwargs="max_new_tokens=4,temperature=0,num_beams=1",
        batch_size=2,
    )
    written = tmp_path / "out" / "local_results.json"
    written.parent.mkdir()
    results = {task.removeprefix("local_"): r for task, r in found["results"].items()}
    written.write_text(json.dumps({"results": results}, default=str))
    measured = read_results(written.parent)
    for name in names:
        row = next(row for row in ROWS if row.name == name)
        value = figure(row, measured)
        assert value is not None, name
        assert 0 <= value <= (2000 if name == "mme" else 100), name
