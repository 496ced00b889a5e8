"""The shared schema of diwa-agent and diwa-cloud."""
