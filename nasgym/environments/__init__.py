"""Gymnasium environments over a study of architectures."""
