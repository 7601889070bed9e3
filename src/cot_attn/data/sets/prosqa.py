"""ProsQA: which of two made-up kinds an individual is, by a chain of "Every ... is a ...".

Hao et al. 2024, "Training Large Language Models to Reason in a Continuous Latent Space" (Coconut),
whose repository holds the data. Rows are {question, steps, answer}, all of them sentences.
"""

from cot_attn.data import _rows as rows
from cot_attn.data._rows import Row
from cot_attn.data.dataset import DataSet, Hub
from cot_attn.data.problem import Problem

FOLDER = "https://raw.githubusercontent.com/facebookresearch/coconut/main/data"
SPLITS = ("test", "valid", "train")


def _recognises(row: Row) -> bool:
    # Other data have these three fields too: theirs are not graded as sentences unasked.
    return {"question", "steps", "answer"} <= row.keys() and " is a" in str(row["answer"])


def _problem(row: Row) -> Problem:
    question = rows.text(row, "question")
    steps = rows.lines(row, "steps")
    return Problem(
        id=rows.question_id("prosqa", question),
        question=question,
        answer=rows.text(row, "answer"),
        answer_type="text",
        steps=steps,
        difficulty=len(steps) or None,
        dataset="prosqa",
    )


PROSQA = DataSet(
    name="prosqa",
    fields=("question", "steps", "answer"),
    recognises=_recognises,
    problem=_problem,
    hub=Hub("json", SPLITS, files={split: f"{FOLDER}/prosqa_{split}.json" for split in SPLITS}),
)
