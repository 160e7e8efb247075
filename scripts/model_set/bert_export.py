"""Exports one BERT with transformers and torch. Run by `bert.py` in the exporting environment.

Usage: bert_export.py OUTPUT bert-base | OUTPUT minilm WEIGHTS.safetensors
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

SEED = 0


class Encoder(torch.nn.Module):
    """BERT that returns plain tensors: the hidden states and the pooled first token."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.bert = bert

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        result = self.bert(input_ids, attention_mask, token_type_ids)
        return result.last_hidden_state, result.pooler_output


class SentenceEmbedder(torch.nn.Module):
    """BERT followed by the mean over the tokens and L2 normalisation."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.bert = bert

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        hidden_BSD = self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state
        weight_BS1 = attention_mask.unsqueeze(-1).to(hidden_BSD.dtype)
        mean_BD = (hidden_BSD * weight_BS1).sum(1) / weight_BS1.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean_BD, dim=1)


def bert_base() -> Encoder:
    """The published configuration with seeded weights, drawn by numpy in the order of names."""
    bert = BertModel(BertConfig(attn_implementation="sdpa"))
    random = np.random.default_rng(SEED)
    for name, parameter in sorted(bert.named_parameters()):
        noise = random.standard_normal(tuple(parameter.shape), np.float32) * np.float32(0.02)
        centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        parameter.data = torch.from_numpy(noise + np.float32(centre))
    return Encoder(bert)


def minilm(weights: Path) -> SentenceEmbedder:
    """all-MiniLM-L6-v2 with its trained weights."""
    config = BertConfig(
        hidden_size=384,
        intermediate_size=1536,
        num_hidden_layers=6,
        attn_implementation="eager",
    )
    bert = BertModel(config, add_pooling_layer=False)
    state = load_file(weights)
    kept = {name: value for name, value in state.items() if not name.startswith("pooler.")}
    result = bert.load_state_dict(kept, strict=False)
    missing = [name for name in result.missing_keys if "_ids" not in name]
    unexpected = [name for name in result.unexpected_keys if "_ids" not in name]
    if missing or unexpected:
        raise ValueError(f"{weights}: missing {missing}, unexpected {unexpected}")
    return SentenceEmbedder(bert)


def strip(model: onnx.ModelProto) -> None:
    """Drops what the exporter notes about itself (stack traces with the paths of this machine)."""
    graph = model.graph
    del model.metadata_props[:], graph.metadata_props[:]
    model.doc_string = ""
    graph.doc_string = ""
    for part in (*graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""


def export(output: Path, name: str, weights: Path | None) -> None:
    """Exports and writes one file."""
    if weights is None:
        module: torch.nn.Module = bert_base()
        batch, names, opset, shapes = 1, ["last_hidden_state", "pooler_output"], 23, None
    else:
        module = minilm(weights)
        axes = {0: torch.export.Dim("batch", min=1), 1: torch.export.Dim("seq", min=2, max=512)}
        batch, names, opset, shapes = 2, ["sentence_embedding"], 18, (axes, axes, axes)
    ids = torch.arange(128).repeat(batch, 1) + 1000
    arguments = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    program = torch.onnx.export(
        module.eval(),
        arguments,
        dynamo=True,
        opset_version=opset,
        input_names=["input_ids", "attention_mask", "token_type_ids"],
        output_names=names,
        dynamic_shapes=shapes,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("expected a program from the exporter, got none")
    model = program.model_proto
    model.graph.name = name
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, output)


if __name__ == "__main__":
    export(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]) if len(sys.argv) > 3 else None)
