"""The leaderboard as a static site: a folder of pages that opens from a file path, with no network."""

from warpsmith.leaderboard.site.build import write_site

__all__ = ["write_site"]
