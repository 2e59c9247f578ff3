"""What a user deploys: written, checked and run."""
