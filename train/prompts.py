"""Templates of town/prompts: filled here for training exactly as the running town fills them."""

import os.path
import re

from lexicon import TOWN

DECISIONS = ("plan", "act", "talk", "say", "reflect", "answer")
TEMPLATES = {d: (TOWN / "prompts" / f"{d}.txt").read_text() for d in DECISIONS}
# What all decisions on one (persona, plan, memories) share; plan.txt has no plan yet and stands apart.
SHARED = [TEMPLATES[d] for d in DECISIONS if d != "plan"]
HEAD = os.path.commonprefix(SHARED)
HEAD = HEAD[: HEAD.rindex("\n") + 1]
TAILS = {d: TEMPLATES[d][len(HEAD):] for d in DECISIONS if d != "plan"}


def fill(template: str, **values: object) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda m: str(values[m[1]]), template)


def block(lines: list[str]) -> str:
    return "\n".join(lines) if lines else "- none"


def listing(words: list[str]) -> str:
    return ", ".join(words) if words else "nobody"
