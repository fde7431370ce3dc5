"""The server's side of jobs: the open queue, what comes in, what is there already, webhooks."""
