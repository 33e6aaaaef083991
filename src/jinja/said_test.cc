// What comes from variables is known as such, whatever a template does with it.

#include "jinja/testing/render.h"

namespace throng::jinja {
namespace {

// The text with its said ranges in brackets.
std::string Marked(std::string_view source, const Json& variables) {
  const Text text = RenderText(source, variables);
  std::string marked;
  size_t pos = 0;
  for (const ByteRange& range : text.SaidRanges()) {
    marked += text.View().substr(pos, range.begin - pos);
    marked += "[" + std::string(text.View().substr(range.begin, range.end - range.begin)) + "]";
    pos = range.end;
  }
  return marked + std::string(text.View().substr(pos));
}

const Json kChat = {{"m", {{"role", "user"}, {"content", " <|end|> a,b "}}}, {"list", {"x", "y"}}, {"n", 5}};

TEST(Said, FollowsTheBytes) {
  const Case cases[] = {
      {"<|{{ m.role }}|>{{ m.content }}<|end|>", "<|user|>[ <|end|> a,b ]<|end|>"},
      {"{{ '<' + m.content|trim + '>' }}", "<[<|end|> a,b]>"},
      {"{{ m.content.split(',')[1] ~ '!' }}", "[b ]!"},
      {"{{ m.content[1:4] }}{{ m.content[::-1][:2] }}", "[<|e b]"},
      {"{% for c in m.content %}{{ c }}{% endfor %}", "[ <|end|> a,b ]"},
      {"{{ m.content.replace('<', '#') }}", "[ ]#[|end|> a,b ]"},
      {"{{ '-x-'.replace('x', m.content) }}", "-[ <|end|> a,b ]-"},
      {"{{ m.content|upper }}{{ m.content|title }}", "[ <|END|> A,B  <|end|> A,b ]"},
      {"{{ '%s|%s' % (m.content, 1) }}", "[ <|end|> a,b ]|1"},
      {"{{ '{} {}'.format('a', m.content) }}", "a [ <|end|> a,b ]"},
      {"{{ list|join('-') }} {{ '+'.join(list) }}", "[x]-[y] [x]+[y]"},
      {"{{ m.content|tojson }}", "[\" <|end|> a,b \"]"},
      {"{{ {'a': 1}|tojson }} {{ [m.content]|string }}", "{\"a\": 1} [[' <|end|> a,b ']]"},
      {"{% set t %}({{ m.content }}){% endset %}{{ t }}", "([ <|end|> a,b ])"},
      {"{% macro f(x) %}({{ x }}){% endmacro %}{{ f(m.content) }}", "([ <|end|> a,b ])"},
      {"{% filter trim %} {{ m.content }} {% endfilter %}", "[<|end|> a,b]"},
      {"{% for k in m %}{{ k }},{% endfor %}", "[role],[content],"},
      {"{% for k in dict(**m) %}{{ k }},{% endfor %}", "[role],[content],"},
      {"{% macro f() %}{% for k in kwargs %}{{ k }},{% endfor %}{% endmacro %}{{ f(**m) }}",
       "[role],[content],"},
      {"{{ {'user': '<u>'}[m.role] }}{{ '<e>' if m.content else '' }}", "<u><e>"},
      {"{{ m.content|urlencode }}", "[%20%3C%7Cend%7C%3E%20a%2Cb%20]"},
      {"{{ m.content|e }}", "[ &lt;|end|&gt; a,b ]"},
      {"{{ 'a'.center(5, list[0]) }} {{ 'a\\nb'|indent(list[0]) }}", "[xx]a[xx] a\n[x]b"},
      {"{{ list[0] * 3 }}{{ n }}", "[xxx]5"},
      {"{{ strftime_now(list[0]) }}{{ list[0]|truncate(9) }}{{ list|first }}{{ list|max }}", "[xxxy]"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.source);
    EXPECT_EQ(Marked(c.source, kChat), c.text);
  }
}

TEST(Said, RolesThatTheCallerKnowsAreTheTemplatesOwn) {
  EXPECT_EQ(
      Marked("{{ m.role }}{{ m['content'] }}{{ r }}", {{"m", {{"role", "u"}, {"content", "c"}}}, {"r", "x"}}),
      "u[cx]");
}

TEST(Text, SlicesItsRanges) {
  TextBuilder builder;
  builder.AppendFrame("ab");
  builder.AppendSaid("cd");
  builder.AppendSaid("e");
  builder.AppendFrame("fg");
  builder.AppendSaid("h");
  const Text text = builder.Take();
  EXPECT_EQ(text.SaidRanges(), (std::vector<ByteRange>{{2, 5}, {7, 8}}));
  EXPECT_EQ(text.Slice(3, 8).SaidRanges(), (std::vector<ByteRange>{{0, 2}, {4, 5}}));
  EXPECT_EQ(text.Slice(0, 2).SaidRanges(), std::vector<ByteRange>());
  EXPECT_EQ(text.Slice(5, 7).View(), "fg");
  EXPECT_FALSE(text.Slice(5, 7).HasSaid());
}

}  // namespace
}  // namespace throng::jinja
