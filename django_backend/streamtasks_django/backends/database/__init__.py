"""What the documented database backend is made of; models are imported from `models`, when apps are loaded."""
