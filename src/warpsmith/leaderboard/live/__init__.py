"""The leaderboard's pages from a server on loopback, which follow runs while they last."""

from warpsmith.leaderboard.live.answers import Answers
from warpsmith.leaderboard.live.server import serve

__all__ = ["Answers", "serve"]
