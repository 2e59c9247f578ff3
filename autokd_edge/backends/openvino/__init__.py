"""OpenVINO on Intel and AMD processors."""
