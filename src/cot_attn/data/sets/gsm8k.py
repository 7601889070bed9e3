"""GSM8K: word problems of primary school, with solutions of a line a step.

Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems". Rows are {question, answer},
where the answer is the solution and "#### 18". Coconut's copy of the data, {question, steps,
answer}, with steps such as "<<16-3-4=9>>", is read as well.
"""

from cot_attn.data import _rows as rows
from cot_attn.data._rows import Row
from cot_attn.data.dataset import DataSet, Hub
from cot_attn.data.problem import Problem


def _recognises(row: Row) -> bool:
    if not {"question", "answer"} <= row.keys():
        return False
    return "####" in str(row["answer"]) or "<<" in str(row.get("steps"))


def _problem(row: Row) -> Problem:
    question = rows.text(row, "question")
    answer = rows.answer(row, "answer")
    if "steps" in row:
        steps = rows.lines(row, "steps")
    else:
        solution, marker, answer = answer.rpartition("####")
        if not marker:
            raise ValueError("the field 'answer' has no '####' before the result")
        steps = tuple(line.strip() for line in solution.split("\n") if line.strip())
    return Problem(
        id=rows.question_id("gsm8k", question),
        question=question,
        answer=answer.strip(),
        steps=steps,
        difficulty=len(steps) or None,
        dataset="gsm8k",
    )


GSM8K = DataSet(
    name="gsm8k",
    fields=("question", "answer"),
    recognises=_recognises,
    problem=_problem,
    hub=Hub("openai/gsm8k", splits=("test", "train"), config="main"),
    strata=(2, 5),  # hardly any has one step, and few have more than five
)
