"""What the package costs, as ratios of two things that are measured in turn: seconds depend on the machine."""
