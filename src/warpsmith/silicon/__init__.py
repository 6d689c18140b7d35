"""Everything that needs a GPU, most valuable first, in one bounded run: `make gpu`.

`steps` holds what is done in which order, `box` the time it may take and what was done already, `agreement`,
`conformance`, `times` and `calibration` the steps themselves, `merge` what becomes of the results in a repository.
"""
