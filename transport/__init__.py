"""Ways in and out: HTTP, WebRTC, windows, files, and the pages."""
