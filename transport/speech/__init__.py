"""What streams say: scripts and streamed sound on their way to the speaker."""
