"""ONNX graphs in torch: what a graph computes, with gradients."""
