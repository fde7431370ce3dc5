"""What an avatar says: sound, voice activity, captions and the queue of utterances."""
