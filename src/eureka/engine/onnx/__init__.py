"""The CPU backend: encoder, adapter and decoder as ONNX graphs, run by ONNX Runtime. No torch here."""
