"""Batches made by the actors of a Ray cluster. Only references and progress travel through Ray; rows, rollouts and
replies are written to the shared data folder, by the same code as without Ray.
"""
