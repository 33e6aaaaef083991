// Writes templates that use what the language has, as first inputs for jinja_fuzz.

#include <cstdio>
#include <string>

namespace {

constexpr const char* kTemplates[] = {
    "{%- for m in messages if m.role is defined %}<|{{ m['role'] }}|>\n{{ m.content|trim }}<|end|>{% endfor "
    "-%}",
    "{% set ns = namespace(n=0, s='') %}{% for c in messages[0].content %}{% set ns.n = ns.n + 1 %}"
    "{% if loop.index > 5 %}{% break %}{% else %}{% continue %}{% endif %}{% endfor %}{{ ns.n }}",
    "{% macro f(a, b=1, *c) %}{% endmacro %}",
    "{% macro f(n, k={}) %}{{ n }}{{ varargs }}{{ kwargs }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% "
    "endmacro %}{{ f(x) }}",
    "{% macro g() %}<{{ caller(1) }}>{% endmacro %}{% call(a) g() %}{{ a }}{% endcall %}",
    "{% for t in tools %}{{ t|tojson(indent=2) }}{{ t.items()|list }}{% for k, v in t|dictsort %}{{ k ~ v "
    "}}{% endfor %}{% endfor %}",
    "{{ '%s %05.2f %r' % ('a', 1.5, [1]) }}{{ '{:>5} {x!r}'.format('b', x=2) }}",
    "{{ messages[1:]|map(attribute='role')|join(', ') }}{{ [3, 1]|sort|first }}{{ 'a b'.split() }}{{ "
    "'abc'[::-1] }}",
    "{{ x // 2 ** 3 % 5 - -1 }}{{ 1 if x is odd else none }}{{ 'a' in 'abc' and not false or x == 5.0 }}",
    "{% filter upper|replace('A', 'b') %}a{% endfilter %}{% set t|trim %} x {% endset %}{% with a=1 %}{{ a "
    "}}{% endwith %}",
    "{% for n in [[1, [2]]] recursive %}{{ n if n is number else loop(n) }}{% else %}none{% endfor %}",
    "{% raw %}{{ }}{% endraw %}{# c #}{%+ if 1 +%}\n{% generation %}y{% endgeneration %}{% endif %}",
    "{{ messages|selectattr('role', 'equalto', 'user')|list|length }}{{ x|string|indent(2, true) }}{{ "
    "strftime_now('%Y') }}",
    "{{ messages|groupby('role') }}{{ 'x y'|urlencode|title|center(9)|truncate(5) }}{{ 2.5|round|int }}{{ "
    "'7'|float }}",
    "{% set l = [] %}{% set _ = l.append(x) %}{% set d = dict(a=1) %}{% set _ = d.update(b=2) %}{{ l.pop() "
    "}}{{ d.pop('a') }}",
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  int number = 0;
  for (const char* text : kTemplates) {
    const std::string path = std::string(argv[1]) + "/" + std::to_string(number++) + ".jinja";
    std::FILE* file = std::fopen(path.c_str(), "wb");
    if (file == nullptr || std::fputs(text, file) < 0 || std::fclose(file) != 0) return 1;
  }
  return 0;
}
