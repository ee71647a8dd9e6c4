"""What the project uses of KEDA's ScaledObject, as a JSON schema: ours, not KEDA's own, and not compared with it."""

from typing import Any


def _closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


_TEXT = {"type": "string", "minLength": 1}
_COUNT = {"type": "integer", "minimum": 0}
_SCALING = _closed([], stabilizationWindowSeconds=_COUNT)
_PROMETHEUS = _closed(
    ["serverAddress", "query", "threshold"],
    serverAddress={"type": "string", "pattern": "^https?://"},
    query=_TEXT,
    # KEDA's metadata are texts, also where they are numbers.
    threshold={"type": "string", "pattern": "^[0-9]+$"},
)
SCALED_OBJECT = _closed(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "keda.sh/v1alpha1"},
    kind={"const": "ScaledObject"},
    metadata=_closed(["name"], name=_TEXT),
    spec=_closed(
        ["scaleTargetRef", "triggers"],
        scaleTargetRef=_closed(["name"], name=_TEXT),
        pollingInterval=_COUNT,
        cooldownPeriod=_COUNT,
        minReplicaCount=_COUNT,
        maxReplicaCount=_COUNT,
        advanced=_closed(
            [],
            horizontalPodAutoscalerConfig=_closed([], behavior=_closed([], scaleDown=_SCALING)),
        ),
        triggers={
            "type": "array",
            "minItems": 1,
            "items": _closed(["type", "metadata"], type={"const": "prometheus"}, metadata=_PROMETHEUS),
        },
    ),
)
