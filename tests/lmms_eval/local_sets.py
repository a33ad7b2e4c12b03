"""Four generated pictures in place of every published data set, where lmms-eval looks for it.

lmms-eval names its data sets as the Hub does, OWNER/NAME; a folder of that name in the working
directory is read instead. So its own tasks run as they are, offline.
"""

import datasets
from PIL import Image

COLOURS = ("red", "green", "blue", "yellow")
LETTERS = "ABCD"
MULTIPLE = "A. red\nB. green\nC. blue\nD. yellow"
NUM_PICTURES = len(COLOURS)
PICTURES = "testdev_balanced_images"


def picture(i):
    return Image.new("RGB", (60, 40 + 10 * i), COLOURS[i])


# By row of the table: data set, configuration, split, and what its columns hold for picture i.
SETS = {
    "vqav2": ("lmms-lab-encoder/VQAv2", "default", "validation", lambda i: {
        "image": picture(i), "question": "What colour is it?",
        "answers": [{"answer": COLOURS[i]}] * 10, "multiple_choice_answer": COLOURS[i],
        "question_type": "what", "answer_type": "other", "question_id": i}),
    "gqa": ("lmms-lab-encoder/GQA", "testdev_balanced_instructions", "testdev", lambda i: {
        "imageId": str(i), "question": "What colour is it?", "answer": COLOURS[i]}),
    # The last question shows no image.
    "scienceqa": ("lmms-lab-encoder/ScienceQA", "ScienceQA-IMG", "test", lambda i: {
        "image": picture(i) if i < 3 else None, "question": "Which?", "choices": list(COLOURS),
        "answer": i, "hint": "Look."}),
    "textvqa": ("lmms-lab-encoder/textvqa", "default", "validation", lambda i: {
        "image": picture(i), "question": "what is it", "answers": [COLOURS[i]] * 10,
        "question_id": i, "image_id": str(i)}),
    "ai2d": ("lmms-lab-encoder/ai2d", "default", "test", lambda i: {
        "image": picture(i), "question": "Which?", "options": list(COLOURS), "answer": str(i)}),
    # The last question is about a video.
    "seedbench": ("lmms-lab-encoder/SEED-Bench", "default", "test", lambda i: {
        "image": [picture(i)] * (1 if i < 3 else 8), "question": "Which?", "answer": LETTERS[i],
        **{f"choice_{letter.lower()}": colour
           for letter, colour in zip(LETTERS, COLOURS, strict=True)},
        "data_type": "image" if i < 3 else "video", "question_id": str(i)}),
    "mme": ("lmms-lab-encoder/MME", "default", "test", lambda i: {
        "image": picture(i), "question": f"Is it {COLOURS[i]}? Please answer yes or no.",
        "answer": ("Yes", "No")[i % 2], "question_id": f"{i // 2}.png", "category": "color"}),
    "llavabench": ("lmms-lab-encoder/llava-bench-in-the-wild", "default", "train", lambda i: {
        "image": picture(i), "question": "Describe it.", "gpt_answer": f"A {COLOURS[i]} square.",
        "caption": "A square.", "question_id": i,
        "category": ("conv", "detail", "complex")[i % 3]}),
    "refcoco-testA": ("lmms-lab-encoder/RefCOCO", "default", "testA", lambda i: {
        "image": picture(i), "answer": [f"the {COLOURS[i]} one", "it"],
        "bbox": [4.0, 4.0, 20.0, 12.0], "question_id": str(i)}),
    "refcoco-testB": ("lmms-lab-encoder/RefCOCO", "default", "testB", lambda i: {
        "image": picture(i), "answer": ["it"], "bbox": [4.0, 4.0, 20.0, 12.0],
        "question_id": str(i)}),
    "vstar": ("lmms-lab-encoder/vstar-bench", "default", "test", lambda i: {
        "image": picture(i), "text": f"Which?\n{MULTIPLE}", "label": LETTERS[i],
        "question_id": str(i), "category": "direct_attributes"}),
    "realworldqa": ("lmms-lab-encoder/RealWorldQA", "default", "test", lambda i: {
        "image": picture(i), "question": "What colour is it?", "answer": COLOURS[i]}),
    "mmstar": ("Lin-Chen/MMStar", "default", "val", lambda i: {
        "image": picture(i), "question": f"Which?\n{MULTIPLE}", "answer": LETTERS[i], "index": i,
        "category": "math", "l2_category": "geometry"}),
    "pope": ("lmms-lab-encoder/POPE", "default", "test", lambda i: {
        "image": picture(i), "question": f"Is it {COLOURS[i]}?", "answer": ("yes", "no")[i % 2],
        "question_id": str(i), "category": "random"}),
    "countbench": ("vikhyatk/CountBenchQA", "default", "test", lambda i: {
        "image": picture(i), "question": "How many?", "number": i + 1}),
}  # fmt: skip
# GQA keeps its pictures by themselves.
MORE = {
    "gqa": ("lmms-lab-encoder/GQA", PICTURES, "testdev", lambda i: {
        "id": str(i), "image": picture(i)}),
}  # fmt: skip


def write(folder):
    """Writes all of them below a folder, each with the card that names its splits."""
    files = {}
    for name, config, split, columns in (*SETS.values(), *MORE.values()):
        path = folder / name / config / f"{split}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_list([columns(i) for i in range(NUM_PICTURES)]).to_parquet(path)
        files.setdefault(name, {}).setdefault(config, []).append(split)
    for name, configs in files.items():
        lines = ["---", "configs:"]
        for config, splits in configs.items():
            lines += [f"- config_name: {config}", "  data_files:"]
            for split in splits:
                lines += [f"  - split: {split}", f"    path: {config}/{split}.parquet"]
        (folder / name / "README.md").write_text("\n".join([*lines, "---", ""]))
