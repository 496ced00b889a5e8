"""What the site has beside the pages in docs/: a reference that is made of the package itself."""
