"""How much can go: candidates, the passes that judge them, the bound, and the certificate."""
