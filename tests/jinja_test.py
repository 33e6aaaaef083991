#!/usr/bin/env python3
"""Usage: jinja_test.py JINJA_RENDER [EXPRESSIONS [SEED [FILE...]]]

Renders templates with the program of src/jinja/testing, and with Jinja as transformers sets it up; both must give the same bytes, or both refuse.
Templates: those of chat_templates/ (or FILES) on many chats, then random expressions and statements."""

import copy
import datetime
import json
import pathlib
import random
import subprocess
import sys
import warnings

try:
    import jinja2
    import jinja2.ext
    import jinja2.sandbox
except ImportError:
    print("skipped: the Debian package python3-jinja2 is not installed")
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent


class Generation(jinja2.ext.Extension):
    """The block that marks what a model is trained to write."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    @staticmethod
    def _body(caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = datetime.datetime(2024, 7, 26, 13, 5, 9).strftime  # as render_lines.cc
    return env


def expected(env, template, variables):
    try:
        return {"text": env.from_string(template).render(**copy.deepcopy(variables))}
    except Exception as error:  # whatever Python raises inside of a template
        return {"error": f"{type(error).__name__}: {error}"}


def compare(program, cases):
    """Returns how many gave a text, and the cases that differ."""
    lines = "".join(json.dumps({"template": template, "variables": variables}) + "\n" for _, template, variables in cases)
    done = subprocess.run([program], input=lines, capture_output=True, text=True, check=True)
    results = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert len(results) == len(cases)
    env = environment()
    rendered, different = 0, []
    for (name, template, variables), ours in zip(cases, results):
        theirs = expected(env, template, variables)
        rendered += "text" in theirs
        if theirs.get("text") != ours.get("text"):
            different.append(f"{name}\n  Jinja: {theirs}\n  ours:  {ours.get('text', ours.get('error'))!r}")
    return rendered, different


# Chats for the templates of files.

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather \"now\" — <b>ü</b>", "return": {"type": "string"},
    "parameters": {"type": "object", "required": ["place"], "properties": {
        "place": {"type": "string", "description": "City & state"}, "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
        "days": {"type": "array", "items": {"type": "integer"}}, "note": {"type": ["string", "null"]},
        "near": {"type": "object", "properties": {"km": {"type": "number"}}, "required": ["km"]}}}}}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "The time", "parameters": {"type": "object", "properties": {}}}}
SYSTEM = {"role": "system", "content": "You are nice.\nReally. "}
USER = {"role": "user", "content": " Hi <there>, 'you' \"&\"!\n"}
ANSWER = {"role": "assistant", "content": "  Hello. "}
ARGUMENTS = {"place": "Zürich", "days": [1, 2], "x": 1.5, "y": None, "z": True}
CALL = {"id": "abcdef123", "type": "function", "function": {"name": "get_weather", "arguments": ARGUMENTS}}
RESULT = {"role": "tool", "tool_call_id": "abcdef123", "name": "get_weather", "content": "{\"temp\": 20.5}"}


def calls(content, *all_calls):
    return {"role": "assistant", "content": content, "tool_calls": list(all_calls)}


CHATS = {
    "user": [USER], "system": [SYSTEM, USER], "turns": [SYSTEM, USER, ANSWER, USER], "empty": [{"role": "user", "content": ""}], "none": [],
    "thoughts": [USER, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nOk."}, USER],
    "reasoning": [USER, {"role": "assistant", "content": "Ok.", "reasoning_content": "so"}], "twice": [USER, USER], "other": [{"role": "wizard", "content": "x"}],
    "call": [USER, calls(None, CALL), RESULT], "call with text": [SYSTEM, USER, calls("Well.", CALL), RESULT, ANSWER, USER],
    "two calls": [USER, calls("", CALL, {**CALL, "id": "1"}), RESULT, RESULT], "developer": [{"role": "developer", "content": "dev"}, USER, ANSWER],
    "parts": [{"role": "system", "content": [{"type": "text", "text": "s"}]}, {"role": "user", "content": [{"type": "text", "text": "a "}, {"type": "image"}]}],
    "letters": [{"role": "user", "content": "é 日本 😀\u00a0\u2028x"}],
}
OPTIONS = {
    "": {}, "tools": {"tools": [WEATHER, CLOCK]}, "no prompt": {"add_generation_prompt": False}, "no thoughts": {"enable_thinking": False},
    "more": {"tools": [CLOCK], "date_string": "01 Jan 2030", "reasoning_effort": "high", "builtin": ["code", "search"], "lang": "fr",
             "documents": [{"title": "T", "text": "a\nb" * 30}, {"title": "", "n": 5}]},
}


def chat_cases(files):
    for file in files:
        source = file.read_text()
        for chat, messages in CHATS.items():
            for option, more in OPTIONS.items():
                variables = {"messages": messages, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>", "tools": None, "documents": None}
                yield f"{file.name}: {chat}, {option}", source, {**variables, **more}


# Random templates.

VALUES = {"s": "Hello, Wörld <x>", "t": " a b\tc\n", "e": "", "n": 7, "m": -3, "z": 0, "f": 2.5, "g": -0.75, "y": True, "no": None, "l": [3, 1, 2],
          "w": ["b", "A", "c", ""], "d": {"k": 1, "a": "v", "i": [1, 2]}, "o": {"a": {"b": [{"c": 5}]}},
          "ds": [{"r": "user", "c": "x", "n": 2}, {"r": "tool", "c": "y", "n": 1}, {"r": "user", "c": None, "n": 2}]}
ATOMS = [*VALUES, "undef", "1", "2", "0", "-1", "3.5", "'a'", "'b c'", "\"it's\"", "none", "true", "false", "[]", "{}", "[1, 'x']", "(1, 2)", "{'q': 2}", "'é'"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
FILTERS = """upper lower title capitalize trim length first last list join join(',') string int float abs round round(1) default('D') default('D',true)
    reverse|list sort sum min max unique|list tojson tojson(indent=1) tojson(sort_keys=true) replace('a','zz') wordcount e urlencode map('string')|list
    map(attribute='r')|list select|list reject('none')|list selectattr('c')|list selectattr('r','eq','user')|list rejectattr('n','gt',1)|list
    batch(2)|list slice(2)|list dictsort items|list groupby('r') center(9) count sort(reverse=true) sort(attribute='n') max(attribute='n')
    sum(attribute='n') float(1.5) int(5) attr('k') batch(2,'f')|list trim('a ') join(attribute='r')""".split()
METHODS = """upper() lower() strip() strip('a') split() split(',') split('a') split(none,1) rsplit('l',1) startswith('H') endswith('c') replace('l','L') find('l')
    count('l') title() capitalize() splitlines() partition(',') join(w) isdigit() isalpha() items()|list keys()|list values()|list get('k') get('zz',5) index(1)
    zfill(4) center(8,'*') swapcase() rfind('l') removeprefix('H') lstrip('H') isupper() islower() isspace() expandtabs() rjust(5) isalnum() copy()""".split()
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "mapping", "sequence", "iterable", "odd", "even", "true", "false", "boolean",
         "lower", "upper", "divisibleby 2", "eq 1", "in [1, 2]", "not none", "gt 1"]


class Random(random.Random):
    def expression(self, depth=0):
        if depth > 3 or self.random() < 0.25:
            return self.choice(ATOMS)
        inner = lambda: self.expression(depth + 1)
        return self.choice([
            lambda: f"({inner()} {self.choice(OPERATORS)} {inner()})", lambda: f"({inner()} {self.choice(OPERATORS)} {inner()})",
            lambda: f"(not {inner()})", lambda: f"(-{inner()})", lambda: f"({inner()} if {inner()} else {inner()})", lambda: f"({inner()})[{inner()}]",
            lambda: f"{self.choice(list(VALUES))}[{self.choice(['', '1', '-2'])}:{self.choice(['', '2', '-1', '9'])}{self.choice(['', ':2', ':-1'])}]",
            lambda: f"({inner()}).{self.choice(['k', 'a', 'c', 'r', 'foo'])}", lambda: f"({inner()}|{self.choice(FILTERS)})",
            lambda: f"({inner()}|{self.choice(FILTERS)})", lambda: f"({inner()}).{self.choice(METHODS)}", lambda: f"({inner()} is {self.choice(TESTS)})",
            lambda: f"[{inner()}, {inner()}]", lambda: f"{{'p': {inner()}, s: {inner()}}}",
            lambda: f"'{self.choice(['%s', '%d', '%5.1f', '%r', '%x', '%-6s|', '%05d', '%+d'])}' % {inner()}",
            lambda: f"'{self.choice(['{}', '{0}!', '{:>6}', '{!r}', '{:5.2f}', '{:x}', '{:,}'])}'.format({inner()})"])()

    def block(self, text):
        space = lambda: self.choice(["", " ", "\n", "\n  ", "  "])
        return f"{space()}{{%{self.choice(['', '', '-', '+'])} {text} {self.choice(['', '', '-', '+'])}%}}{space()}"

    def statement(self, depth=0):
        value = lambda: self.expression(2)
        body = lambda: "".join(self.statement(depth + 1) for _ in range(self.randrange(1, 3))) if depth < 2 else f"{{{{ {value()} }}}}"
        tag = self.block
        items = self.choice(["l", "w", "ds", "s", "d", "undef", "d.items()", "range(4)", "o.a.b"])
        attribute = self.choice(["index", "index0", "first", "last", "length", "revindex", "previtem", "nextitem", "depth"])
        return self.choice([
            lambda: f" {{{{{self.choice(['', '-'])} {value()} {self.choice(['', '-'])}}}}}\n", lambda: self.choice(["text\n", " a ", "\n\n"]),
            lambda: tag(f"if {value()}") + body() + tag("else") + body() + tag("endif"),
            lambda: tag(f"for i in {items}{self.choice(['', ' if i'])}") + f"{{{{ i }}}}{{{{ loop.{attribute} }}}}" + body() + tag("else") + "E" + tag("endfor"),
            lambda: tag(f"set v = {value()}") + "{{ v }}", lambda: tag("set w") + body() + tag("endset") + "[{{ w }}]",
            lambda: tag("macro f(a, b=2)") + "{{ a }}|{{ b }}" + body() + tag("endmacro") + f"{{{{ f({value()}) }}}}{{{{ f(1, b={value()}) }}}}",
            lambda: tag("macro f()") + "<{{ caller(1) }}>" + tag("endmacro") + tag("call(v) f()") + "{{ v }}" + body() + tag("endcall"),
            lambda: tag("filter upper") + body() + tag("endfilter"), lambda: tag(f"with q = {value()}") + "{{ q }}" + body() + tag("endwith"),
            lambda: f" {{#{self.choice(['', '-'])} c {self.choice(['', '-'])}#}}\n", lambda: tag("raw") + " {{ x }} \n" + tag("endraw"),
            lambda: tag("for i in l") + tag("if i == 1") + tag(self.choice(["break", "continue"])) + tag("endif") + "{{ i }}" + tag("set v = i") + tag("endfor") + "{{ v }}",
        ])()


def random_cases(count, seed):
    chance = Random(seed)
    for i in range(count):
        yield f"expression {i}", "{{ " + chance.expression() + " }}", VALUES
    for i in range(count // 3):
        yield f"statements {i}", "".join(chance.statement() for _ in range(3)), VALUES


def main():
    warnings.simplefilter("ignore")
    program = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    files = [pathlib.Path(name) for name in sys.argv[4:]] or sorted((HERE / "chat_templates").glob("*.jinja"))
    failed = False
    for what, cases in [("chats", list(chat_cases(files))), ("random templates", [(f"{n}: {t}", t, v) for n, t, v in random_cases(count, seed)])]:
        rendered, different = compare(program, cases)
        print(f"{what}: {len(cases)} templates with variables, {rendered} of them rendered by Jinja, {len(different)} differ")
        print("\n".join(different[:20]))
        failed |= bool(different) or rendered < len(cases) // 4
    sys.exit(failed)


if __name__ == "__main__":
    main()
