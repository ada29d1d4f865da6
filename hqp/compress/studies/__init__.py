"""What measures the engine itself and makes no artefact."""
