from .page import render as render
from .page import write_report as write_report

__all__ = ["render", "write_report"]
