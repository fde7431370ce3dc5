"""What ``doctor`` looks at. Each check gets what was found out and says what it means."""
