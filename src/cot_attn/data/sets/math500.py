"""MATH-500: competition mathematics with answers in LaTeX.

Hendrycks et al. 2021, "Measuring Mathematical Problem Solving With the MATH Dataset"; the 500 are
those of Lightman et al. 2023, "Let's Verify Step by Step". Rows are {problem, answer}, and on the
hub also {unique_id, level}. Difficulty is the level, 1 to 5.
"""

from cot_attn.data import _rows as rows
from cot_attn.data._rows import Row
from cot_attn.data.dataset import DataSet, Hub
from cot_attn.data.problem import Problem


def _recognises(row: Row) -> bool:
    return {"problem", "answer"} <= row.keys()


def _problem(row: Row) -> Problem:
    question = rows.text(row, "problem")
    own_id = None if rows.absent(row, "unique_id") else rows.text(row, "unique_id")
    return Problem(
        id=own_id or rows.question_id("math500", question),
        question=question,
        answer=rows.answer(row, "answer"),
        answer_type="math",
        difficulty=rows.whole_number(row, "level"),
        dataset="math500",
    )


MATH500 = DataSet(
    name="math500",
    fields=("problem", "answer", "unique_id", "level"),
    recognises=_recognises,
    problem=_problem,
    hub=Hub("HuggingFaceH4/MATH-500", splits=("test",)),
)
