"""Devices: one file each.

A file defines ``device``, a frozen ``Device``: the runtime, the threads it is given, the precisions it has and the type
of activations it runs fastest; and ``facts(host) -> dict[str, str]``: what identifies this hardware and its power
state beyond what every host reports, asked of the host that the device is on; it changes nothing there.

Perhaps it defines ``limit(host) -> str | None`` as well: why numbers taken now are not to be trusted, beyond load, heat
and lowered clocks, which are watched on every host; and ``elsewhere``, the runtime that drives it from another machine,
where ``HQP_HOST`` says over SSH where it is; and ``recognises(host) -> bool``, whether a host is this kind of device,
for where none is named.
"""
