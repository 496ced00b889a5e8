"""The history: the revisions, the steps they are made of, and what is generated from them."""
