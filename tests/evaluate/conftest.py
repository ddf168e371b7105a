"""The labelled candidates are texts for the judge, never modules for pytest to import."""

collect_ignore_glob = ["suite/*"]
