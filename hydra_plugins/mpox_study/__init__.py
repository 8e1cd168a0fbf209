"""Hydra's plugins of this project: Hydra finds launchers and sweepers in the package `hydra_plugins` only."""
