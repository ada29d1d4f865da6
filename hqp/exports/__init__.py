"""Exports: one file each, one format in which an artefact is deployed.

A file defines

* ``write(onnx_file, out)``: makes the export of an artefact's ONNX file, without loss, in the empty folder ``out``;
* ``opened``: the name, in that folder, of the file that a runtime opens;
* ``read_back(file, images)``: the float32 logits (n, classes) that this file gives for normalised images
  (n, channels, height, width), in the format's own runtime;
* ``requires``: the packages that it needs;
* ``looks_at_images``: true where ``write`` also takes images, as ``read_back`` does, to see what the file does not say;
  left out where it says everything. A runtime opens no such export, since it has a file and no images;
* ``runs_on``: the one platform, as ``sys.platform`` names it, with the format's runtime; left out where all have it.

What is written is read back and compared with the ONNX file before it is called exported. On a platform without the
runtime it is written and not compared, and its record says so.
"""
