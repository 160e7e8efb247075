"""The report as one HTML file that needs nothing else: `report_html`."""

from accelerator_sim.html.page import report_html

__all__ = ["report_html"]
