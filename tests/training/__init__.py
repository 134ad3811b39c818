"""Training, module by module."""
