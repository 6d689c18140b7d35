"""Ranks the kernels of a library: one board per task, target and source of its times."""

from warpsmith.leaderboard.board import Board, Place, make_boards

__all__ = ["Board", "Place", "make_boards"]
