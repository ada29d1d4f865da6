"""Gates: one file each.

A file defines

* ``check(measurement: Measurement, *, <limits>) -> Verdict``: its keyword-only arguments, floats, are the limits that a
  suite may set; those without a default must be set;
* ``needs``: what must be measured for it beyond the case itself: ``()`` or ``("baseline",)``, a rerun beside the
  artefact of the stored baseline.

A gate raises ``NotApplicable`` where there is nothing to judge; no other exception becomes a verdict.
"""
