"""An artefact as a TFLite file, of which the LiteRT export is made."""
