"""Networks: tensors in, tensors out; no files but weights, no video."""
