"""Choices of precision made real: quantized, executed, and measured against the source."""

from dataclasses import dataclass, field

import onnx_ir as ir

from egrl.compression.error import Reference
from egrl.compression.joint.byte_convolutions import Means
from egrl.compression.joint.byte_forms import Ranges, quantize_bytes, sites_of
from egrl.compression.joint.choices import Precisions
from egrl.compression.quantize import Kept, quantize_sites
from graph_ir.compression.execution_options import right_grid
from graph_ir.compression.fusable import make_fusable
from graph_ir.compression.method import Correction, Data, Method
from graph_ir.onnx_values import node_name
from runtime.compression import LayerRecord
from runtime.manifest import Execution


@dataclass(slots=True)
class Trial:
    """Applies choices to a model and measures them.

    Attributes:
        model: prepared, of the opset that the choices need; never changed here.
        precisions: of the model.
        method: that quantizes.
        corrections: that follow it.
        data: that both look at.
        reference: the source.
        execution: of the result.
        measured: errors known already, by choice.
        ranges: of the activations, where precisions have bytes for them.
        means: of what convolutions read, likewise.
    """

    model: ir.Model
    precisions: Precisions
    method: Method
    corrections: tuple[Correction, ...]
    data: Data
    reference: Reference
    execution: Execution
    measured: dict[tuple[int, ...], float] = field(default_factory=dict)
    ranges: Ranges = field(default_factory=dict)
    means: Means = field(default_factory=dict)

    def error(self, choice_S: tuple[int, ...]) -> float:
        """Relative error of the outputs, measured on the compressed model."""
        known = self.measured.get(choice_S)
        if known is None:
            form = self.model.clone()
            self.apply(form, choice_S)
            make_fusable(form.graph)
            known = self.reference.error(form, self.execution)
            self.measured[choice_S] = known
        return known

    def apply(
        self, model: ir.Model, choice_S: tuple[int, ...]
    ) -> tuple[list[LayerRecord], list[str]]:
        """Quantizes a copy of the model in place.

        Returns:
            Records of its layers, and what the corrections said.
        """
        grids = self.precisions.grids_of(choice_S)
        order = {node_name(node): at for at, node in enumerate(model.graph)}
        sites = [site for site in sites_of(model) if site.name in grids]
        grids = {site.name: right_grid(grids[site.name], site.columns) for site in sites}
        kept: Kept = {}
        source = model.clone() if self.corrections else model
        wanted = kept if self.corrections else None
        layers = quantize_sites(model, self.method, sites, grids, self.data, wanted)
        notes = [
            f"{part.name}: {part.correct(model, source, kept, self.data).details}"
            for part in self.corrections
        ]
        forms = self.precisions.byte_forms_of(choice_S)
        if forms:
            nodes = self.precisions.lowering.nodes
            layers += quantize_bytes(model, forms, nodes, self.ranges, self.means)
            layers.sort(key=lambda layer: order[layer.name])
            notes.append(f"{len(forms)} layers read bytes: {', '.join(forms)}")
        return layers, notes
