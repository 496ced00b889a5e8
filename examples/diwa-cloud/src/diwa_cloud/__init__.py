"""An application that owns the shared schema."""
