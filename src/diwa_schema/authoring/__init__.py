"""Writing revisions: what a draft of one does is read and judged here, before any database meets it.

The room stands beside the API and not in `migrations`, because it asks git and, as it grows, a server: a run of
revisions needs none of it, and the import contract keeps the way down free of what only an author needs.
"""
