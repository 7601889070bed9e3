from .catalogue import CATALOGUE as CATALOGUE
from .catalogue import figures as figures
from .drawing import write_figures as write_figures
from .figure import Figure as Figure
from .figure import Results as Results
from .page import render as render
from .page import write_report as write_report

__all__ = ["CATALOGUE", "Figure", "Results", "figures", "render", "write_figures", "write_report"]
