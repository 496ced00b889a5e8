"""Is a database fit for the application that connects to it? It is looked at as that application sees it."""
