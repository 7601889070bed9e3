"""The library's own schema: a row has the fields of `Problem`.

Only `id` and `question` are needed. Other fields may stand beside them and are not read, unless
they look like a misspelt one.
"""

import dataclasses

from cot_attn._did_you_mean import did_you_mean
from cot_attn.data import _rows as rows
from cot_attn.data._rows import Row
from cot_attn.data.answers import answer_type
from cot_attn.data.dataset import DataSet
from cot_attn.data.problem import Problem

FIELDS = tuple(field.name for field in dataclasses.fields(Problem))


def _recognises(row: Row) -> bool:
    return {"id", "question"} <= row.keys()


def _problem(row: Row) -> Problem:
    for name in sorted(row.keys() - set(FIELDS)):
        plain = name.strip("\ufeff \t").lower().replace(" ", "_")
        if hint := did_you_mean(plain, FIELDS, cutoff=0.8):
            raise ValueError(f"the field {name!r} is not known.{hint}")
    answer = None if rows.absent(row, "answer") else rows.answer(row, "answer")
    likely = "boolean" if isinstance(row.get("answer"), bool) else "number"
    kind = likely if rows.absent(row, "answer_type") else rows.text(row, "answer_type")
    return Problem(
        id=rows.text(row, "id"),
        question=rows.text(row, "question"),
        answer=answer,
        answer_type=answer_type(kind),
        steps=rows.lines(row, "steps"),
        difficulty=rows.whole_number(row, "difficulty"),
        dataset=None if rows.absent(row, "dataset") else rows.text(row, "dataset"),
    )


def row_of(problem: Problem) -> Row:
    """Return the row that is read as this problem, without what is empty."""
    values = dataclasses.asdict(problem)
    return {name: value for name, value in values.items() if value not in (None, ())}


OWN = DataSet(name="cot_attn", fields=FIELDS, recognises=_recognises, problem=_problem)
