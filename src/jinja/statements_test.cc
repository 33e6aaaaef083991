#include "jinja/testing/render.h"

namespace throng::jinja {
namespace {

TEST(Statements, Loop) {
  ExpectAll({
      {"{% for i in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ "
       "loop.last }} {% endfor %}",
       "103TrueFalse 212FalseFalse 321FalseTrue "},
      {"{% for i in [1, 2, 3, 4] if i is even %}{{ i }}/{{ loop.length }},{% endfor %}", "2/2,4/2,"},
      {"{% for i in [] %}x{% else %}none{% endfor %}", "none"},
      {"{% for i in [1, 2] %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}", "<1>2 1<2> "},
      {"{% for i in 'aab' %}{{ loop.changed(i) }}{{ loop.cycle('x', 'y') }} {% endfor %}",
       "Truex Falsey Truex "},
      {"{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{% endfor %}{% for k in {'b': 1} %}{{ k }}{% endfor "
       "%}",
       "a=1b"},
      {"{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i > 2 %}{% break %}{% endif "
       "%}{{ i }}{% endfor %}",
       "02"},
      {"{% for n in [{'n': 1, 'c': [{'n': 2, 'c': []}]}] recursive %}{{ n.n }}@{{ loop.depth }}[{{ loop(n.c) "
       "}}]{% endfor %}",
       "1@1[2@2[]]"},
      {"{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = i + 5 %}{{ x }} {% endfor %}{{ x }}",
       "16 17 1"},
      {"{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "123"},
      {"{% for i in x %}{% endfor %}ok", "ok"},
      {"{% autoescape false %}{% set x = '<' %}{{ x }}{% endautoescape %}{{ x }}", "<"},
      // The condition is asked when the loop comes to the member.
      {"{% set ns = namespace(on=true) %}{% for i in [1, 2, 3] if ns.on %}{{ i }}{% set ns.on = false %}{% "
       "endfor %}",
       "1"},
  });
}

TEST(Statements, BranchAndAssign) {
  ExpectAll({
      {"{% if 0 %}a{% elif 1 %}b{% else %}c{% endif %}{% if x %}{% else %}d{% endif %}", "bd"},
      {"{% set a, b = 1, 2 %}{{ a }}{{ b }}{% if 1 %}{% set c = 3 %}{% endif %}{{ c }}", "123"},
      {"{% set t %}a{{ 1 }}{% endset %}{{ t }}{% set u | upper | trim %} b {% endset %}{{ u }}", "a1B"},
      {"{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}", "12"},
      {"{% filter upper %}a{{ 'b' }}{% endfilter %}{% filter replace('a', 'x')|upper %}a{% endfilter %}",
       "ABX"},
      {"{% generation %}a{% set x = 1 %}{% endgeneration %}{{ x }}", "a"},
      {"{% raw %}{{ x }}{% if %}{% endraw %}", "{{ x }}{% if %}"},
      {"{# a {{ comment }} #}b", "b"},
  });
}

TEST(Statements, CallMacros) {
  ExpectAll({
      {"{% macro m(a, b=2, c=b) %}{{ a }}{{ b }}{{ c }} {% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(c=5, a=4) "
       "}}{{ m() }}",
       "122 133 425 22 "},
      {"{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, k=3) }}", "1(2,){'k': 3}"},
      {"{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}x{% endcall %}", "<x>"},
      {"{% macro m() %}{{ caller(5) }}{% endmacro %}{% call(n) m() %}[{{ n }}]{% endcall %}", "[5]"},
      {"{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "3210"},
      {"{% set x = 1 %}{% macro m() %}{{ x }}{% set x = 2 %}{% endmacro %}{{ m() }}{{ x }}", "11"},
      {"{% macro m() %}{{ y }}{% endmacro %}{% set y = 3 %}{{ m() }}", "3"},
      {"{% macro m() %}a{% endmacro %}{{ m()|upper }}{{ m.name }}{{ m is callable }}", "AmTrue"},
  });
}

// Line breaks after blocks and comments, and spaces in front of those that begin a line, are not text.
TEST(Statements, ControlWhiteSpace) {
  ExpectAll({
      {"a\n  {% if 1 %}\nb\n  {% endif %}\nc\n", "a\nb\nc"},
      {"a {% if 1 %} b {% endif %} c", "a  b  c"},
      {"a\n {{- 1 -}} \n b", "a1b"},
      {"a\n {%- if 1 -%} \n b {%- endif %}\nc", "abc"},
      {"  {%+ if 1 %}x{% endif %}", "  x"},
      {"{% if 1 +%}\nx{% endif %}", "\nx"},
      {"{# c #}\na\n {# d #}\nb", "a\nb"},
      {"{{ 1 }}\n{{ 2 }}\n", "1\n2"},
      {"  {{ 1 }}", "  1"},
      {"{%- raw -%}\n a \n{%- endraw -%}\n b", "ab"},
      {"a\r\nb\rc", "a\nb\nc"},
      {"{{ {'a': {'b': 1}}}}", "{'a': {'b': 1}}"},
      {"{% set x = 1 -%}\n  {% set y = 2 %}\n{{ x + y }}", "3"},
  });
}

TEST(Statements, AreRefusedWithLineAndColumn) {
  const Case cases[] = {
      {"a\n{% if 1 %}b", "line 2, column 11: the block 'if' has no end \"{% endif %}\""},
      {"{{ 1", "line 1, column 1: the tag has no end \"}}\""},
      {"{{ 1 2 }}", "found '2', expected '}}'"},
      {"{{ }}", "found the end of the print, expected an expression"},
      {"{% nope %}", "found the block 'nope'"},
      {"{% endif %}", "found the block 'endif'"},
      {"{% include 'x' %}", "'include' is not supported"},
      {"{% extends 'x' %}", "'extends' is not supported"},
      {"{% import 'x' as y %}", "'import' is not supported"},
      {"{% break %}", "'break' outside of a loop"},
      {"{% for i in x %}{% macro m() %}{% continue %}{% endmacro %}{% endfor %}",
       "'continue' outside of a loop"},
      {"{{ 'a }}", "the string has no end"},
      {"{# a", "the comment has no end"},
      {"{% raw +%}{% endraw %}", "found the block 'raw'"},
      {"{% raw %}", "the block \"raw\" has no end"},
      {"{{ (1] }}", "unexpected ']', expected ')'"},
      {"{{ 1 $ 2 }}", "unexpected character '$'"},
      {"{% set true = 1 %}", "nothing can be assigned to 'true'"},
      {"{{ f(a=1, 2) }}", "an argument with a name"},
      {"{% macro m(a=1, b) %}{% endmacro %}", "'b' has no default"},
      {"{{ '\\N{DASH}' }}", "characters by name"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.source);
    EXPECT_NE(ErrorOf(c.source).find(c.text), std::string::npos) << ErrorOf(c.source);
  }
}

TEST(Statements, EndWithinTheirLimits) {
  const auto nested = [](const std::string& open, const std::string& inner, const std::string& close,
                         int count) {
    std::string source = inner;
    for (int i = 0; i < count; ++i) source = open + source + close;
    return source;
  };
  const std::string chain = [] {
    std::string source = "{{ 1";
    for (int i = 0; i < 100'000; ++i) source += "+1";
    return source + " }}";
  }();
  const Case cases[] = {
      {"{% for a in range(999) %}{% for b in range(999) %}{% endfor %}{% endfor %}", "steps"},
      {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "levels"},
      {"{{ 'x' * 9999999999 }}", "bytes"},
      {"{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
       "bytes"},
      {"{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
       "bytes"},
      {"{% set l = [] %}{% set _ = l.append(l) %}{{ l }}", "levels"},
      {"{% set l = [] %}{% set _ = l.append(l) %}{{ l|tojson }}", "levels"},
      {"{{ '%999999999d' % 1 }}", "above"},
      {"{% for n in [0] recursive %}{{ loop([0]) }}{% endfor %}", "levels"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.source);
    const std::string message = ErrorOf(c.source, Json::object(), {.steps = 300'000, .bytes = 1 << 26});
    EXPECT_NE(message.find(c.text), std::string::npos) << message;
  }
  EXPECT_NE(ErrorOf(chain).find("levels"), std::string::npos);
  EXPECT_NE(ErrorOf("{{ " + nested("(", "1", ")", 5000) + " }}").find("nested deeper"), std::string::npos);
  EXPECT_NE(ErrorOf(nested("{% if 1 %}", "", "{% endif %}", 5000)).find("nested deeper"), std::string::npos);
  EXPECT_NE(ErrorOf(std::string(Template::kMaxSourceBytes + 1, 'x')).find("at most"), std::string::npos);
}

}  // namespace
}  // namespace throng::jinja
