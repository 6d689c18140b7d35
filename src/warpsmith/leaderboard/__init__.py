"""Ranks the kernels of a library: one board per task, target and source of its times."""

from warpsmith.leaderboard.board import Board, make_boards

__all__ = ["Board", "make_boards"]
