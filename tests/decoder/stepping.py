"""Runs a source decoder token by token with its own caches, knowing it by its input names only."""

import numpy as np
import onnxruntime as ort

TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}


def step_by_step(path, tokens, capacity=256, prompt=1):
    """Logits of every token.

    Args:
        path: of the source; one without caches is run whole.
        tokens: to decode.
        capacity: of caches that do not grow.
        prompt: tokens of the first call.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.disable_prepacking", "1")
    session = ort.InferenceSession(str(path), options)
    inputs = {value.name: value for value in session.get_inputs()}
    outputs = [value.name for value in session.get_outputs()]
    caches = {name: value for name, value in inputs.items() if name.startswith("past")}
    if not caches:
        return session.run(["logits"], {"input_ids": tokens[None]})[0][0]
    held = {}
    for name, value in caches.items():
        shape = [extent if isinstance(extent, int) else 1 for extent in value.shape]
        axis = next(at for at, extent in enumerate(value.shape) if _is_length(extent))
        growing = "context" not in str(value.shape[axis])
        shape[axis] = 0 if growing else capacity
        held[name] = np.zeros(shape, TYPES[value.type])
    logits = []
    start = 0
    while start < len(tokens):
        end = start + prompt if start == 0 else start + 1
        feeds = dict(held)
        for name, value in inputs.items():
            if name not in caches:
                feeds[name] = _plain(name, tokens, start, end).astype(TYPES[value.type])
        results = dict(zip(outputs, session.run(outputs, feeds), strict=True))
        logits.append(results["logits"].reshape(end - start, -1))
        held = {name: results[name.replace("past_key_values", "present")] for name in caches}
        start = end
    return np.concatenate(logits)


def _is_length(extent):
    return isinstance(extent, str) and any(word in extent for word in ("past", "context"))


def _plain(name, tokens, start, end):
    values = {
        "input_ids": tokens[None, start:end],
        "attention_mask": np.ones((1, end), np.int64),
        "position_ids": np.arange(start, end)[None],
        "seqlens_k": np.array([end - 1]),
        "total_sequence_length": np.array(end),
        "nonpad_kv_seqlen": np.array([end]),
        "write_indices": np.array([start]),
        "cache_position": np.arange(start, end),
    }
    return values[name]
