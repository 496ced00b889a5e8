"""The history: the revisions, their steps, and the files generated from them."""
