"""What servers of the Model Context Protocol answer, whichever way it came."""

from __future__ import annotations

from typing import Any

from .effects import ToolError


def result_of(server: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The result in an answer to a request; raises a ``ToolError`` if it has none."""
    if "error" in answer:
        error = answer["error"]
        said = error.get("message") if isinstance(error, dict) else error
        raise ToolError(str(said or "it refuses"), code="failed")
    result = answer.get("result")
    if not isinstance(result, dict):
        raise ToolError(f"{server}: the result of its answer is {result!r:.80}, allowed is an object", code="unknown")
    return result


def value_of(server: str, result: dict[str, Any]) -> Any:
    """What an agent gets of the result of a tool."""
    content = result.get("content", [])
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise ToolError(f"{server}: the content of its result is {content!r:.80}, allowed is a list of objects",
                        code="unknown")
    texts = [str(part.get("text", "")) for part in content if part.get("type") == "text"]
    if result.get("isError"):
        raise ToolError("\n".join(texts) or "the tool has failed", code="failed")
    if "structuredContent" in result:
        return result["structuredContent"]
    return "\n".join(texts) if len(texts) == len(content) else content
