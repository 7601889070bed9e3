from ._drawing import write_figures as write_figures
from .browser import problem_browser as problem_browser
from .notebook import View as View
from .notebook import show as show
from .notebook import show_studies as show_studies
from .page import render as render
from .page import write_report as write_report

__all__ = [
    "View",
    "problem_browser",
    "render",
    "show",
    "show_studies",
    "write_figures",
    "write_report",
]
