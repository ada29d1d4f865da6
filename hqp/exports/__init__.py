"""Exports: one file each, one format in which an artefact is deployed.

A file defines

* ``write(onnx_file, out)``: makes the export of an artefact's ONNX file, without loss, in the empty folder ``out``;
* ``opened``: the name, in that folder, of the file that a runtime opens;
* ``read_back(file, images)``: the float32 logits (n, classes) that this file gives for normalised images
  (n, channels, height, width), in the format's own runtime;
* ``requires``: the packages that it needs.

What is written is read back and compared with the ONNX file before it is called exported.
"""
