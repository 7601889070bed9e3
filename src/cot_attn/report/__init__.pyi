from ._drawing import write_figures as write_figures
from .page import render as render
from .page import write_report as write_report

__all__ = ["render", "write_figures", "write_report"]
