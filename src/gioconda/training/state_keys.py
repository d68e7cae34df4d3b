"""Names of stored weights, kept while the attributes of the networks carry the field's terms.

Checkpoints, safetensors files, identity files and ONNX graphs hold weights under the names that the attributes had
when these files were written. `keep_keys` maps between the two, so old files load, and old versions read new files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


def keep_keys(net: nn.Module, stored: Mapping[str, str]) -> None:
    """Let `state_dict` and `load_state_dict` of a network use the stored names of some of its attributes.

    ONNX export names its tensors after `state_dict`, so graphs keep their names too.

    Args:
        net: The network; its deep copies keep the map.
        stored: The name in files of each renamed attribute of `net`, a submodule or a parameter.
    """
    attributes = {key: attribute for attribute, key in stored.items()}

    def store(_net: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
        _rename(state, prefix, stored)

    def load(_net: nn.Module, state: dict[str, Any], prefix: str, *_rest: Any) -> None:
        _rename(state, prefix, attributes)

    net.register_state_dict_post_hook(store)  # type: ignore[no-untyped-call]
    net.register_load_state_dict_pre_hook(load)  # type: ignore[no-untyped-call]


def stored_parameters(net: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of a network, without its buffers, under their stored names."""
    state = net.state_dict(keep_vars=True)
    return {key: value for key, value in state.items() if isinstance(value, nn.Parameter)}


def _rename(state: dict[str, Any], prefix: str, names: Mapping[str, str]) -> None:
    """Rename the entries below `prefix` in place; their order stays."""
    entries = list(state.items())
    state.clear()
    for key, value in entries:
        first, dot, rest = key[len(prefix) :].partition(".") if key.startswith(prefix) else ("", "", "")
        state[f"{prefix}{names[first]}{dot}{rest}" if first in names else key] = value
