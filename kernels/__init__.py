"""GPU and CPU kernels: they know tensors, and nothing of photos, tables or pipelines."""
