"""Experiments with asrnn_jax: data, training, checkpoints, run folders, reports. Start: python -m experiments --help"""
