#!/usr/bin/env python3
"""Usage: jinja_npm_test.py JINJA_RENDER [FILE...]

Renders the templates of chat_templates/ (or FILES) with the program of src/jinja/testing, and with npm's @huggingface/jinja, by which
browsers and Node render chats; what differs must be one of the known differences of that library from Jinja, as which jinja_test.py
takes Python's. Of FILES the differences are only shown."""

import collections
import json
import pathlib
import re
import shutil
import subprocess
import sys

import jinja_test

HERE = pathlib.Path(__file__).resolve().parent

# What the library lacks, by its errors.
LACKS = {
    "the block `with`": r"Unknown statement type: with",
    "filters of what is not their usual type (lists that are trimmed, undefined or null as text)": r"(Unknown \w+Value filter: |Cannot apply filter \")",
    "a text times a number": r'Unknown operator "\*" between StringValue and IntegerValue',
    "keys that are no texts": r"Object keys must be strings",
    "some functions and methods": r"Cannot call something that is not a function",
    "lists of pairs that are unpacked": r"Cannot unpack non-iterable type",
}
# What it renders although Jinja refuses it, by Jinja's errors.
ALLOWS = {
    "texts and lists that are added": r"can only concatenate",
    "what is not there is undefined, whatever is done with it": r"(has no (element|attribute)|is undefined|not subscriptable|NoneType|Undefined)",
    "more values that `tojson` takes": r"not JSON serializable",
}
MARKS = r"[\[\]'\"\s]"
# Where it renders another text: what the template has to have for that.
OTHERWISE = {
    "`lstrip`, `rstrip` and `strip` take all white space, whatever they are told":
        lambda template, ours, theirs: re.search(r"strip\(['\"]", template) and ours.split() == theirs.split(),
    "lists and dicts as text are JavaScript's, not Python's": lambda template, ours, theirs: "'" in ours and re.sub(MARKS, "", ours) == re.sub(MARKS, "", theirs),
    "dicts are equal only if they are the same one": lambda template, ours, theirs: "message == user_messages" in template,
    "null as text is nothing": lambda template, ours, theirs: ours.replace("None", "").split() == theirs.split(),
    "`escape` is not applied": lambda template, ours, theirs: "&#34;" in ours,
}


def render(words, cases):
    lines = "".join(json.dumps({"template": template, "variables": variables}) + "\n" for _, template, variables in cases)
    done = subprocess.run(words, input=lines, capture_output=True, text=True, timeout=600)
    if done.returncode != 0 and "Cannot find module" in done.stderr:
        print("skipped: npm's @huggingface/jinja is not in tests/clients/node_modules")
        sys.exit(77)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert len(results) == len(cases)
    return results


def why(case, ours, theirs, env):
    """The known difference that explains why the results are not the same; None: none does."""
    _, template, variables = case
    if "error" in theirs:
        return next((reason for reason, error in LACKS.items() if re.search(error, theirs["error"])), None)
    if "error" in ours:
        error = jinja_test.expected(env, template, variables).get("error", "")
        return next((reason for reason, known in ALLOWS.items() if re.search(known, error)), None)
    return next((reason for reason, explains in OTHERWISE.items() if explains(template, ours["text"], theirs["text"])), None)


def main():
    if not shutil.which("node"):
        print("skipped: there is no node")
        sys.exit(77)
    files = [pathlib.Path(name) for name in sys.argv[2:]]
    cases = list(jinja_test.chat_cases(files or sorted((HERE / "chat_templates").glob("*.jinja"))))
    ours = render([sys.argv[1]], cases)
    theirs = render(["node", HERE / "jinja_npm.mjs"], cases)
    env = jinja_test.environment()
    equal, known, unknown = 0, collections.Counter(), []
    for case, one, other in zip(cases, ours, theirs):
        if one.get("text") == other.get("text"):
            equal += 1
        elif reason := why(case, one, other, env):
            known[reason] += 1
        else:
            unknown.append(f"{case[0]}\n  npm:  {other}\n  ours: {one.get('text', one.get('error'))!r}")
    print(f"{len(cases)} chats: {equal} equal, {known.total()} with known differences, {len(unknown)} with others")
    for reason, count in known.most_common():
        print(f"  {count}: {reason}")
    print("\n".join(text[:2000] for text in unknown[:20]))
    assert equal > len(cases) // 4
    sys.exit(bool(unknown) and not files)


if __name__ == "__main__":
    main()
