"""Writing revisions: drafts are analysed and judged here before they reach a database.

The package stands beside the API and not inside `migrations`, because it uses git and a server. A run of revisions
needs neither, and the import contract keeps the runner free of authoring code.
"""
