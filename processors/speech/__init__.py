"""Programs and models that make speech, hear it or write it down."""
