"""The motion graph: loops and transitions nobody sees, made once, walked through while playing."""
