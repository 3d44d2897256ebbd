"""What a keeper does in the background: one file each, one ``run_once()`` each."""
