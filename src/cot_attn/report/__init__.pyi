from ._drawing import write_figures as write_figures
from .browser import problem_browser as problem_browser
from .page import render as render
from .page import write_report as write_report

__all__ = ["problem_browser", "render", "write_figures", "write_report"]
