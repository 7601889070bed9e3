"""StrategyQA: yes-or-no questions whose steps must be inferred.

Geva et al. 2021, "Did Aristotle Use a Laptop?". Rows are {qid, question, answer}, where the answer
is a truth value, with a decomposition into steps where the file has it.
"""

from cot_attn.data import _rows as rows
from cot_attn.data._rows import Row
from cot_attn.data.dataset import DataSet, Hub
from cot_attn.data.problem import Problem


def _recognises(row: Row) -> bool:
    return {"qid", "question", "answer"} <= row.keys()


def _problem(row: Row) -> Problem:
    steps = rows.lines(row, "decomposition")
    return Problem(
        id=rows.text(row, "qid"),
        question=rows.text(row, "question"),
        answer=rows.answer(row, "answer"),
        answer_type="boolean",
        steps=steps,
        difficulty=len(steps) or None,
        dataset="strategyqa",
    )


STRATEGYQA = DataSet(
    name="strategyqa",
    fields=("qid", "question", "answer", "decomposition"),
    recognises=_recognises,
    problem=_problem,
    hub=Hub("ChilleD/StrategyQA", splits=("test", "train")),
)
