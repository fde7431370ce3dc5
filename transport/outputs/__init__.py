"""Where processed frames go besides WebRTC: a window, a virtual camera, a file."""
