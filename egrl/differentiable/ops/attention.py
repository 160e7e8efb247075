"""Attention and rotary positions of opset 23, as their definitions spell them out."""

import torch
from torch import Tensor

from egrl.differentiable.operator import Function, Operands, Operator, needed, optional


def attention_probabilities(operator: Operator, operands: Operands) -> tuple[Tensor, Tensor]:
    """The softmax of an Attention node, and its values, one head each.

    Returns:
        Probabilities `[batch, heads, queries, keys]` and values `[batch, heads, keys, depth]`.
    """
    query = _heads(operator, needed(operands, 0), "q_num_heads")
    key = _heads(operator, needed(operands, 1), "kv_num_heads")
    value = _heads(operator, needed(operands, 2), "kv_num_heads")
    past_key, past_value = optional(operands, 4), optional(operands, 5)
    if past_key is not None and past_value is not None:
        key, value = torch.cat((past_key, key), 2), torch.cat((past_value, value), 2)
    if optional(operands, 6) is not None:
        raise operator.fail("expected Attention without nonpad_kv_seqlen, got one with it")
    shared = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(shared, 1) for x in (key, value))
    scale = operator.number("scale", query.shape[-1] ** -0.5)
    scores = (query * scale) @ key.transpose(-1, -2)
    softcap = operator.number("softcap", 0.0)
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    if operator.integer("is_causal", 0):
        queries, keys = scores.shape[-2:]
        past = 0 if past_key is None else past_key.shape[2]
        future = torch.ones(queries, keys, dtype=torch.bool).triu(1 + past)
        scores = scores.masked_fill(future, -torch.inf)
    mask = optional(operands, 3)
    if mask is not None:
        blocked = mask.dtype == torch.bool
        scores = scores.masked_fill(~mask, -torch.inf) if blocked else scores + mask
    return torch.softmax(scores, -1), value


def _attention(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    if operator.outputs > 1:
        raise operator.fail(f"expected Attention with one output, got {operator.outputs}")
    probabilities, value = attention_probabilities(operator, operands)
    result = probabilities @ value
    if needed(operands, 0).ndim == 3:
        result = result.transpose(1, 2).flatten(2)
    return (result,)


def _heads(operator: Operator, x: Tensor, attribute: str) -> Tensor:
    """`[batch, length, heads * depth]` as `[batch, heads, length, depth]`."""
    if x.ndim == 4:
        return x
    heads = operator.integer(attribute, 0)
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def _rotary(operator: Operator, operands: Operands) -> tuple[Tensor, ...]:
    x, cosine, sine = (needed(operands, at) for at in range(3))
    positions = optional(operands, 3)
    flat = x.ndim == 3
    heads = operator.integer("num_heads", 0)
    x = x.reshape(*x.shape[:2], heads, -1) if flat else x.transpose(1, 2)
    if positions is not None:
        cosine, sine = cosine[positions.long()], sine[positions.long()]
    width = operator.integer("rotary_embedding_dim", 0) or x.shape[-1]
    turned, rest = x[..., :width], x[..., width:]
    cosine, sine = cosine.unsqueeze(2), sine.unsqueeze(2)
    if operator.integer("interleaved", 0):
        real, imaginary = turned[..., ::2], turned[..., 1::2]
    else:
        real, imaginary = turned.chunk(2, -1)
    first, second = cosine * real - sine * imaginary, sine * real + cosine * imaginary
    if operator.integer("interleaved", 0):
        turned = torch.stack((first, second), -1).flatten(-2)
    else:
        turned = torch.cat((first, second), -1)
    turned = torch.cat((turned, rest), -1)
    return (turned.flatten(2) if flat else turned.transpose(1, 2),)


ATTENTION: dict[str, Function] = {
    "Attention": _attention,
    "RotaryEmbedding": _rotary,
}
