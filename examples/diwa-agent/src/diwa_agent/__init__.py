"""An application that uses the shared schema without owning it."""
