"""What Garrison shows to servers: where it gets tokens, keeps them, and has principals sign in."""
