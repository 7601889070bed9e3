"""While tests run, a call that breaks an annotation of the library raises."""

import gc
import sys
from collections.abc import Iterator

import jaxtyping
import numpy as np
import pytest
from beartype import beartype
from jaxtyping import Float, TypeCheckError

from cot_attn.data import Problem, grade
from type_checks import has_dimensions

Matrix = Float[np.ndarray, "row column"]
checked = jaxtyping.jaxtyped(typechecker=beartype)


@checked
def named(number: int, names: dict[str, str] | None = None) -> str:
    return "one" if number == 1 else number  # type: ignore[return-value]


@checked
def product(left: Matrix, right: Float[np.ndarray, "column other"]) -> Float[np.ndarray, "row"]:
    return left @ right


@checked
def turned(matrix: Matrix) -> Float[np.ndarray, "column row"]:
    return matrix.T


@checked
def turned_by_text(matrix: "Matrix", again: "Matrix | None" = None) -> "Matrix":
    return turned(turned(matrix))


class Chain:
    @checked
    def joined(self, matrix: Matrix, other: Float[np.ndarray, "row other"]) -> "Chain":
        return self if matrix.any() else matrix  # type: ignore[return-value]

    @checked
    def again(self) -> "Chain":
        return None  # type: ignore[return-value]


def test_a_method_that_returns_another_of_its_class_is_checked() -> None:
    chain, ones = Chain(), np.ones((2, 3))
    assert chain.joined(ones, np.ones((2, 1))) is chain
    with pytest.raises(TypeCheckError, match=r"joined\(\) parameter other="):
        chain.joined(ones, np.ones((3, 1)))
    for wrong in (lambda: chain.joined(0 * ones, ones), chain.again):
        with pytest.raises(TypeCheckError, match=r"\(\) return"):
            wrong()


def test_the_library_is_checked() -> None:
    with pytest.raises(TypeCheckError):
        grade(18, Problem("p", "What?", "18"))  # type: ignore[arg-type]


def test_a_wrong_argument_and_a_wrong_result_are_refused() -> None:
    assert named(1, {"one": "un"}) == "one"
    for wrong in [("1",), (2,), (1, {1: "un"})]:
        with pytest.raises(TypeCheckError):
            named(*wrong)


def test_dimensions_of_one_name_agree() -> None:
    with pytest.raises(TypeCheckError, match=r"product\(\) parameter right="):
        product(np.zeros((2, 3)), np.zeros((4, 5)))
    with pytest.raises(TypeCheckError, match=r"product\(\) return "):
        product(np.zeros((2, 3)), np.zeros((3, 5)))
    with pytest.raises(TypeCheckError, match="turned_by_text"):
        turned_by_text(np.zeros((2, 3)), np.zeros((4, 5)))


def test_dimensions_mean_nothing_beyond_a_call() -> None:
    for n in (2, 3):
        assert turned(np.zeros((n, 4))).shape == (4, n)
        assert turned_by_text(np.zeros((n, 4))).shape == (n, 4)


@checked
def rows(matrix: Float[np.ndarray, "any column"]) -> Iterator[Float[np.ndarray, "column"]]:
    yield from matrix


@checked
def first_row(matrix: Float[np.ndarray, "column any"]) -> Float[np.ndarray, "any"]:
    return next(rows(matrix))


def test_a_generator_has_dimensions_of_its_own() -> None:
    assert len(first_row(np.zeros((2, 3)))) == 3
    with pytest.raises(TypeCheckError):
        rows(np.zeros(2))


def test_functions_of_one_code_are_each_checked_and_called() -> None:
    def made(more: int, kind: type):
        @checked
        def added(number: kind, *, twice: int = 2) -> kind:
            return number + more * twice

        return added

    one, ten, text = made(1, int), made(10, int), made("!", str)
    assert (one(1), one(1, twice=1), ten(1), text("no")) == (3, 2, 21, "no!!")
    for function, wrong in ((one, "1"), (ten, "1"), (text, 1)):
        with pytest.raises(TypeCheckError, match="added"):
            function(wrong)


def test_what_checks_a_function_holds_nothing_of_it() -> None:
    def made(held: Problem):
        @checked
        def asked(number: int) -> str:
            return held.question * number

        return asked

    problem = Problem("p", "What?", "18")
    before = sys.getrefcount(problem)
    assert made(problem)(2) == "What?What?"
    gc.collect()
    assert sys.getrefcount(problem) == before


@pytest.mark.parametrize("within", [Matrix, Matrix | None, list[Matrix], dict[str, tuple[Matrix]]])
def test_dimensions_are_found_wherever_they_are(within: object) -> None:
    assert has_dimensions(within)
    assert has_dimensions("Matrix")
    assert not has_dimensions(dict[str, np.ndarray | None])
