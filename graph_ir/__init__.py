"""The model: ONNX in and out, lossless passes, fusion, lowering to a workload."""
