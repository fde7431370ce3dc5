"""The threaded frame pipeline: capture, ring buffer, feeder, batch processor, display."""
