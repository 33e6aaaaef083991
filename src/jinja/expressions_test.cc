#include "jinja/testing/render.h"

namespace throng::jinja {
namespace {

TEST(Expressions, ComputeAsPythonDoes) {
  ExpectAll({
      {"{{ 1 + 2 * 3 ** 2 }}", "19"},
      {"{{ 2 ** 3 ** 2 }}", "64"},  // from the left, unlike Python
      {"{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % -3 }} {{ -7 % 3 }}", "3 -4 -2 2"},
      {"{{ 7 / 2 }} {{ 4 / 2 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}", "3.5 2.0 3.0 0.5"},
      {"{{ 2 ** -1 }} {{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }}",
       "0.5 1e+16 1000000000000000.0 0.0001 1e-05"},
      {"{{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }}", "1000 31 5 15"},
      {"{{ true + 1 }} {{ true == 1 }} {{ 1 == 1.0 }}", "2 True True"},
      {"{{ 'a' ~ 1 ~ none ~ x }}", "a1None"},
      {"{{ 'ab' * 3 }}{{ [1] * 2 }}{{ (1,) + (2,) }}", "ababab[1, 1](1, 2)"},
      {"{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }}", "True False True True"},
      {"{{ 'b' in 'abc' }} {{ 4 not in [1, 2] }} {{ 'k' in {'k': 1} }}", "True True True"},
      {"{{ 0 or 'x' }} {{ 0 and 'x' }} {{ not 1 }} {{ not 1 == 2 }}", "x 0 False True"},
      {"{{ 'y' if 1 else 'n' }}{{ 'y' if 0 }}{{ 1 if 0 else 2 if 0 else 3 }}", "y3"},
      {"{{ -2|abs }} {{ -2 ** 2 }} {{ 'a'|upper ~ 'b' }}", "2 4 Ab"},
      {"{{ 'ab' 'cd' }}{{ \"\\x41\\u00e9\\n\\q\" }}", "abcdA\u00e9\n\\q"},
      {"{{ [1, 'a', none, true, 1.0, (1,), {'k': \"it's\"}] }}",
       "[1, 'a', None, True, 1.0, (1,), {'k': \"it's\"}]"},
      {"{{ 'a\\n\\'b\"' | list }}", "['a', '\\n', \"'\", 'b', '\"']"},
      {"{{ 5 is even }} {{ 5 is odd }} {{ 6 is divisibleby 3 }} {{ 'x' is not none }}",
       "False True True True"},
      {"{{ x is defined }} {{ x is undefined }} {{ none is none }} {{ 1 is number }} {{ true is integer }}",
       "False True True True False"},
      {"{{ 'a' is string and [] is sequence and {} is mapping and 'a' is iterable }}", "True"},
      {"{{ 'a' is lower }} {{ [] is lower }} {{ ['a'] is lower }} {{ 1 is upper }}", "True False True False"},
      {"{{ '{:>6}'.format(true) }} {{ '{}'.format(true) }}", "     1 True"},
      {"{{ lipsum is defined }} {{ range is callable }}", "True True"},
      {"{{ '%c%c%3c' % ('a', 8364, 66) }}", "a\u20ac  B"},
      {"{{ ['\u200b\ufeff\u00ad\ue000\U000e0041', '\u00e9\u4e2d\U0001f600'] }}",
       "['\\u200b\\ufeff\\xad\\ue000\\U000e0041', '\u00e9\u4e2d\U0001f600']"},
      {"{{ 3 is in [1, 3] }} {{ 2 is eq 2 }} {{ 2 is gt 3 }} {{ 1 is sameas true }}",
       "True True False False"},
  });
}

TEST(Expressions, SliceAndSubscriptByCharacters) {
  ExpectAll({
      {"{{ 'h\u00e9llo'[1] }} {{ 'h\u00e9llo'[-1] }} {{ 'h\u00e9llo'[1:3] }} {{ 'h\u00e9llo'[::-1] }}",
       "\u00e9 o \u00e9l oll\u00e9h"},
      {"{{ [1, 2, 3][1:] }} {{ [1, 2, 3][:-1] }} {{ [1, 2, 3][::2] }} {{ [1, 2, 3][5:] }}",
       "[2, 3] [1, 2] [1, 3] []"},
      {"{{ 'abc'[10] }}{{ [1][3] }}{{ {'a': 1}['b'] }}{{ none['x'] }}", ""},
      {"{{ {'a': {'b': [7]}}.a.b.0 }} {{ {'a': 1}['a'] }} {{ {1: 2, true: 3} }}", "7 1 {1: 3}"},
      {"{{ {'items': 5}['items'] }} {{ {'get': 5}.get('get') }}", "5 5"},
  });
}

TEST(Expressions, ChangeCaseAsUnicodeSays) {
  ExpectAll({
      {"{{ 'stra\u00dfe \ufb01n'.upper() }} {{ '\u0130'.lower()|length }} {{ '\u00df'|upper }}",
       "STRASSE FIN 2 SS"},
      {"{{ '\u01c6a \u01c4 \ufb02'.title() }} {{ '\u01c6'.capitalize() }} {{ '\u01c6'|title }}",
       "\u01c5a \u01c5 Fl \u01c5 \u01c4"},
      {"{{ '\u10d0'.title() }} {{ '\u10d0'.upper() }} {{ '\u00df'.swapcase() }}", "\u10d0 \u1c90 SS"},
      {"{{ 'Ab Cd1e'.istitle() }} {{ 'Ab Cd1E \u01c5'.istitle() }} {{ 'ab'.istitle() }} {{ 'AB'.istitle() }} "
       "{{ "
       "'1'.istitle() }}",
       "False True False False False"},
  });
}

TEST(Expressions, KnowTheMethodsOfPython) {
  ExpectAll({
      {"{{ ' a b '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'xa'.lstrip('x') }}|{{ 'ax '.rstrip() }}",
       "a b|a|a|ax"},
      {"{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c'.split(none, 1) }} {{ 'a,b,c'.rsplit(',', "
       "1) }}",
       "['a', 'b', '', 'c'] ['a', 'b'] ['a', 'b c'] ['a,b', 'c']"},
      {"{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.startswith('b', 1) }}",
       "True True True"},
      {"{{ 'aXbX'.replace('X', '-') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'ab'.replace('', '.') }}",
       "a-b- bba .a.b."},
      {"{{ 'hello world'.title() }} {{ 'hELLO'.capitalize() }} {{ '\u00e9a'.upper() }} {{ 'AbC'.lower() }}",
       "Hello World Hello \u00c9A abc"},
      {"{{ 'abcb'.find('b') }} {{ 'abcb'.rfind('b') }} {{ 'abc'.find('x') }} {{ 'abab'.count('ab') }}",
       "1 3 -1 2"},
      {"{{ '-'.join(['a', 'b']) }} {{ 'a-b-c'.partition('-') }} {{ 'ab\\ncd'.splitlines() }}",
       "a-b ('a', '-', 'b-c') ['ab', 'cd']"},
      {"{{ '{0} {1} {x!r:>5}|{y:05.1f}'.format(1, 2, x='a', y=2.25) }}", "1 2   'a'|002.2"},
      {"{{ '%s-%05d-%.2f-%r-%%' % ('a', 42, 1.5, 'b') }} {{ '%(k)s' % {'k': 1} }}", "a-00042-1.50-'b'-% 1"},
      {"{{ 'a'.isalpha() }} {{ '1'.isdigit() }} {{ ' '.isspace() }} {{ 'A'.isupper() }}",
       "True True True True"},
      {"{{ {'a': 1}.items() }} {{ {'a': 1}.keys() }} {{ {'a': 1}.values()|list }} {{ {'a': 1}.get('b', 2) }}",
       "dict_items([('a', 1)]) dict_keys(['a']) [1] 2"},
      {"{% set l = [1] %}{% set _ = l.append(2) %}{{ l }}{{ l.pop() }}{{ l }}", "[1, 2]2[1]"},
      {"{% set d = {} %}{% set _ = d.update({'a': 1}, b=2) %}{{ d }}{{ d.pop('a') }}{{ d }}",
       "{'a': 1, 'b': 2}1{'b': 2}"},
      {"{{ 'x'.center(5, '.') }} {{ '7'.zfill(3) }} {{ 'a'.ljust(3) }}|", "..x.. 007 a  |"},
  });
}

TEST(Expressions, KnowTheFiltersOfJinja) {
  ExpectAll({
      {"{{ ' a '|trim }}|{{ 'a b'|title }}|{{ 'ab'|replace('a', 'x') }}|{{ none|string }}", "a|A B|xb|None"},
      {"{{ 'a\\nb\\n\\nc'|indent(2) }}|{{ 'a'|indent(2, true) }}", "a\n  b\n\n  c|  a"},
      {"{{ x|default('d') }} {{ ''|default('d', true) }} {{ 0|d(1) }}", "d d 0"},
      {"{{ [1, 2]|join('-') }} {{ [{'a': 1}, {'a': 2}]|join(',', attribute='a') }}", "1-2 1,2"},
      {"{{ [1, 2, 3]|first }} {{ [1, 2, 3]|last }} {{ 'h\u00e9'|length }} {{ {'a': 1}|count }}", "1 3 2 1"},
      {"{{ ['a', 'b']|map('upper')|join }} {{ [{'a': {'b': 1}}]|map(attribute='a.b')|list }}", "AB [1]"},
      {"{{ [1, 2, 3]|select('odd')|list }} {{ [0, 1]|reject|list }}", "[1, 3] [0]"},
      {"{{ [{'r': 'x'}, {'r': 'y'}]|selectattr('r', 'equalto', 'y')|list|length }}", "1"},
      {"{{ [{'r': 1}, {'r': 0}]|rejectattr('r')|map(attribute='r')|list }}", "[0]"},
      {"{{ ['b', 'A']|sort }} {{ ['b', 'A']|sort(case_sensitive=true, reverse=true) }}",
       "['A', 'b'] ['b', 'A']"},
      {"{{ {'b': 1, 'a': 2}|dictsort }} {{ [1, 1, 2]|unique|list }}", "[('a', 2), ('b', 1)] [1, 2]"},
      {"{{ [1, 2]|sum }} {{ [3, 1]|min }} {{ [3, 1]|max }} {{ []|max }}", "3 1 3 "},
      {"{{ 'abc'|reverse }} {{ [1, 2]|reverse|list }} {{ [1, 2, 3]|batch(2)|list }}",
       "cba [2, 1] [[1, 2], [3]]"},
      {"{% for k, v in [{'a': 1, 'b': 2}, {'a': 1, 'b': 3}]|groupby('a') %}{{ k }}:{{ v|length }}{% endfor "
       "%}",
       "1:2"},
      {"{{ '3'|int + 1 }} {{ 'x'|int(7) }} {{ '2.5'|float }} {{ 2.5|round }} {{ 2.45|round(1) }} {{ 2|round "
       "}}",
       "4 7 2.5 2.0 2.5 2"},
      {"{{ '<'|safe + '<' + '>'|e }} {{ '<'|e|e }} {{ '<' ~ '<'|safe }} {{ ('<'|safe)[0] + '<' }}",
       "<&lt;&gt; &lt; << <&lt;"},
      {"{{ '<a & \\'b\\'>'|e }} {{ 'a b/c'|urlencode }}", "&lt;a &amp; &#39;b&#39;&gt; a%20b/c"},
      {"{{ 'a b c d e f'|truncate(7, leeway=0) }} {{ 'a, b'|wordcount }}", "a b... 2"},
      {"{{ {'a': [1, 1.0, true, none], '\u00e9': '\"<\\n'}|tojson }}",
       "{\"a\": [1, 1.0, true, null], \"\u00e9\": \"\\\"<\\n\"}"},
      {"{{ {'b': 1, 'a': []}|tojson(indent=2, sort_keys=true) }}", "{\n  \"a\": [],\n  \"b\": 1\n}"},
      {"{{ [1, '\u00e9']|tojson(ensure_ascii=true, separators=(',', ':')) }}", "[1,\"\\u00e9\"]"},
      {"{{ {'a': 1}|items|list }} {{ 'x'|attr('y') }}", "[('a', 1)] "},
      {"{{ '%s=%s'|format('a', 1) }}", "a=1"},
  });
}

// As in Jinja, they can be read once, and are true even if nothing is in them.
TEST(Expressions, GiveGenerators) {
  ExpectAll({
      {"{% set g = [1]|map('string') %}{{ g|list }}{{ g|list }}", "['1'][]"},
      {"{{ 'yes' if []|select else 'no' }}", "yes"},
      {"{{ ([1]|map('string'))[0] }}", ""},
  });
  EXPECT_EQ(Render("{{ none|map('upper')|list }}{{ none|selectattr('x')|list }}"), "[][]");
  EXPECT_NE(ErrorOf("{{ [1]|select|length }}").find("no len()"), std::string::npos);
}

TEST(Expressions, CallGlobals) {
  ExpectAll({
      {"{{ range(3)|list }} {{ range(1, 6, 2)|list }} {{ range(3, 0, -1)|list }}",
       "[0, 1, 2] [1, 3, 5] [3, 2, 1]"},
      {"{{ dict(a=1, **{'b': 2}) }} {{ dict([('x', 1)]) }}", "{'a': 1, 'b': 2} {'x': 1}"},
      {"{% set ns = namespace(a=1) %}{% for i in [1, 2] %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}",
       "4"},
      {"{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}", "abba"},
      {"{% set j = joiner('|') %}{% for i in 'abc' %}{{ j() }}{{ i }}{% endfor %}", "a|b|c"},
      {"{{ strftime_now('%d %b %Y %H:%M:%S') }}", "26 Jul 2024 13:05:09"},
  });
}

TEST(Expressions, RefuseWhatPythonRefuses) {
  const Case cases[] = {
      {"{{ x.y }}", "line 1, column 5: 'x' is undefined"},
      {"{{ {'a': 1}.b.c }}", "'dict object' has no attribute 'b'"},
      {"a\n  {{ 1 + 'a' }}", "line 2, column 8: '+' is not supported between 'int' and 'str'"},
      {"{{ 'a' + x }}", "'x' is undefined"},
      {"{{ 'a' + none }}", "between 'str' and 'NoneType'"},
      {"{{ 1 // 0 }}", "division by zero"},
      {"{{ 1 < 'a' }}", "'<' is not supported"},
      {"{{ none[1:] }}", "'NoneType' object cannot be sliced"},
      {"{{ 9223372036854775807 + 1 }}", "beyond 64 bits"},
      {"{{ 9223372036854775808 }}", "no whole number of 64 bits"},
      {"{{ 2 ** 64 }}", "beyond 64 bits"},
      {"{{ {[]: 1} }}", "cannot be the key"},
      {"{{ 'a'.nope() }}", "'str object' has no attribute 'nope'"},
      {"{{ 'a'|nope }}", "there is no filter named 'nope'"},
      {"{{ 'a' is nope }}", "there is no test named 'nope'"},
      {"{{ 'a'.split(1, 2, 3) }}", "split: found arguments"},
      {"{{ 'a'|replace('a') }}", "replace: the argument 'new' is missing"},
      {"{{ 5() }}", "'int' object is not callable"},
      {"{{ nope() }}", "'nope' is undefined"},
      {"{{ '{} {0}'.format(1) }}", "with numbers, or without"},
      {"{{ '{0} {}'.format(1, 2) }}", "with numbers, or without"},
      {"{{ lipsum() }}", "lipsum: it makes texts by chance"},
      {"{{ x|tojson }}", "cannot be written as JSON"},
      {"{% for i in 5 %}{% endfor %}", "'int' object is not iterable"},
      {"{% for a, b in [(1, 2, 3)] %}{% endfor %}", "3 values for 2 variables"},
      {"{{ raise_exception('roles must alternate') }}", "it refuses these messages: roles must alternate"},
      {"{{ range(1000000) }}", "more than 100000"},
      {"{% set x.y = 1 %}", "'x' is no namespace"},
      {"{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "at most 1 arguments"},
      {"{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "no parameter 'b'"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.source);
    EXPECT_NE(ErrorOf(c.source).find(c.text), std::string::npos) << ErrorOf(c.source);
  }
}

}  // namespace
}  // namespace throng::jinja
