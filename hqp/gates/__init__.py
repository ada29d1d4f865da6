"""Gates: one file each.

A file defines

* ``check(measurement: Measurement, *, <limits>) -> Verdict``: its keyword-only arguments, floats, are the limits that a
  suite may set; those without a default must be set;
* ``limits``: the range of each of them, ``{"max_pp": Limit(0, 50, "why nothing beyond it can ever fail")}``;
* ``needs``: what must be measured for it beyond the case itself: ``"fp32"``, the same model's FP32 file, which such a
  gate therefore does not judge; ``"fp16"`` and ``"bf16"``, that precision of the same model, timed beside the case;
  ``"baseline_latency"`` and ``"baseline_accuracy"``, the artefact of the stored baseline rerun beside the case.

* ``timed``, of a gate on time: which pair it judges, ``LATENCY`` (beside FP32), ``FP16_LATENCY``,
  ``BF16_LATENCY`` or ``BASELINE_LATENCY``. That pair is timed until the gate decides or the suite's
  rounds are used up, and timed again before the gate fails;
* ``inferences``: of how many single inferences it needs times before it can decide.

A gate raises ``NotApplicable`` where there is nothing to judge; no other exception becomes a verdict.
"""

from __future__ import annotations

LATENCY, BASELINE_LATENCY = "latency", "baseline_latency"
FP16_LATENCY, BF16_LATENCY = "fp16_latency", "bf16_latency"
