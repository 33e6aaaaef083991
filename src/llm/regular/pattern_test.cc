#include "llm/regular/pattern.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/rng.h"
#include "llm/answer/pattern_check.h"
#include "llm/regular/unicode_property.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;
using Strings = std::vector<std::string>;

constexpr const char* kWhere = "JSON schema: #/pattern";

std::string ErrorOf(std::string_view pattern) {
  try {
    PatternTexts(pattern, kWhere);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// All texts of up to `longest` characters of an alphabet, by length, the last character changing fastest.
Strings AllTexts(const Strings& alphabet, size_t longest) {
  Strings texts = {""};
  size_t begin = 0;
  for (size_t length = 1; length <= longest; ++length) {
    const size_t end = texts.size();
    for (size_t i = begin; i < end; ++i)
      for (const std::string& c : alphabet) texts.push_back(texts[i] + c);
    begin = end;
  }
  return texts;
}

// What Node's RegExp says of each pattern: "!" if it is none, else 1 or 0 for each text. Empty without Node.
Strings AskNode(const Strings& patterns, const Strings& texts) {
  if (std::system("node --version >/dev/null 2>&1") != 0) return {};
  const std::string path = fmt::format("{}patterns.{}.json", testing::TempDir(), getpid());
  std::ofstream(path) << nlohmann::json({{"patterns", patterns}, {"texts", texts}});
  const std::string command =
      "node -e 'const {patterns, texts} = JSON.parse(require(\"fs\").readFileSync(process.argv[1], "
      "\"utf8\"));"
      "for (const pattern of patterns) { let re; try { re = new RegExp(pattern, \"u\"); } catch { re = null; "
      "}"
      "console.log(re ? texts.map(text => re.test(text) ? 1 : 0).join(\"\") : \"!\"); }' " +
      path;
  FILE* pipe = popen(command.c_str(), "r");
  Strings answers(1);
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
    if (c == '\n') {
      answers.emplace_back();
    } else {
      answers.back().push_back(static_cast<char>(c));
    }
  }
  answers.pop_back();
  EXPECT_EQ(pclose(pipe), 0);
  EXPECT_EQ(answers.size(), patterns.size());
  return answers;
}

// Asks `finds(pattern)`, a function of texts, and Node the same.
template <typename Finds>
void ExpectAsNode(const Strings& patterns, const Strings& texts, Finds finds) {
  const Strings answers = AskNode(patterns, texts);
  if (answers.empty()) GTEST_SKIP() << "Node is not installed: patterns are not compared with its RegExp";
  for (size_t p = 0; p < patterns.size(); ++p) {
    ASSERT_NE(answers[p], "!") << patterns[p];
    const auto found = finds(patterns[p]);
    for (size_t t = 0; t < texts.size(); ++t)
      ASSERT_EQ(found(texts[t]), answers[p][t] == '1') << patterns[p] << " in " << nlohmann::json(texts[t]);
  }
}

auto AsAutomaton(const std::string& pattern) {
  return [texts = PatternTexts(pattern, kWhere)](const std::string& text) { return texts.Matches(text); };
}

auto AsJudged(const std::string& pattern) {
  return [check = std::make_shared<PatternCheck>(pattern, kWhere)](const std::string& text) {
    return check->Finds(text);
  };
}

const Strings kPatterns = {"",
                           "a",
                           "^a",
                           "a$",
                           "^a|b$",
                           "(^ab$)|(^b$)",
                           "^(a|b)*?$",
                           "(?:^|b)a",
                           "a(?:$|b)",
                           "a^b",
                           "a$b",
                           "(^)*a",
                           "(?:a|^)b",
                           "\\S",
                           ".*\\S.*",
                           "^.$",
                           "^[^]$",
                           "[]",
                           "^[^a]{2}$",
                           "\\bab\\b",
                           "\\Ba",
                           "^\\B$",
                           "\\b",
                           "a\\b.",
                           "(a|b){2,3}$",
                           "^(?:a{2}){1,2}$",
                           "^(a?){3}$",
                           "^(a*)*$",
                           "(?:a|\\b)+b",
                           "^(?=.*a)(?=.*b)",
                           "^(?!a)..",
                           "^(?!.*a)",
                           "(?!a)b",
                           "(?=a)b",
                           "a(?=b)",
                           "a(?!b)",
                           "^(?:(?!ab).)*$",
                           "(?=a(?!b))..",
                           "(?!(?=a).b)a",
                           "^(?=a|$)",
                           "(?=^a)a",
                           "(?=\\b)b",
                           "(?<first>a)b",
                           "^\\w+\\s\\w+$",
                           "^[\\w-]{2}$",
                           "^\\u{1f600}",
                           "^\\ud83d\\ude00$",
                           "[\\u00e9-\\u{1f600}]",
                           "\\xe9",
                           "\\n$",
                           "\\cJ",
                           "^\\p{L}+$",
                           "\\P{L}",
                           "^[\\p{Ll}\\s]*$",
                           "\\p{Emoji_Presentation}"};

TEST(PatternTexts, AreThoseInWhichNodeFindsAMatch) {
  ExpectAsNode(kPatterns, AllTexts({"a", "b", " ", "é", "\n", "😀"}, 4), AsAutomaton);
}

TEST(PatternCheck, FindsWhatNodeFinds) {
  Strings patterns = kPatterns;
  for (const char* more : {"(a)\\1", "^(a|b)\\1$", "\\1(a)", "(?<c>.)\\k<c>", "(a)|b\\1", "(?=(a+?))\\1b",
                           "(?<=a)b", "(?<!a)b", "(?<=^a|b )b", "^(?:(?<!a)b)*"})
    patterns.push_back(more);
  ExpectAsNode(patterns, AllTexts({"a", "b", " ", "é", "\n", "😀"}, 4), AsJudged);
}

std::string RandomPattern(CounterRng& rng, int depth) {
  static const Strings atoms = {"a",    "b", ".", "\\w", "\\W", "\\s", "[ab]",
                                "[^a]", "^", "$", "\\b", "\\B", " "};
  static const Strings quantifiers = {"*", "+", "?", "{2}", "{1,2}", "{0}", "*?", "+?", "{1,}"};
  const uint64_t kind = depth == 0 ? 0 : rng.NextBelow(8);
  const auto part = [&] { return RandomPattern(rng, depth - 1); };
  switch (kind) {
    case 1:
    case 2:
      return part() + part();
    case 3:
      return "(?:" + part() + "|" + part() + ")";
    case 4:
    case 5:
      return "(" + part() + ")" + quantifiers[rng.NextBelow(quantifiers.size())];
    case 6:
      return "(?=" + part() + ")";
    case 7:
      return "(?!" + part() + ")";
    default:
      return atoms[rng.NextBelow(atoms.size())];
  }
}

TEST(PatternTexts, OfRandomPatternsAreAsNodes) {
  CounterRng rng(1);
  Strings patterns;
  for (int i = 0; i < 800; ++i) patterns.push_back(RandomPattern(rng, 4));
  ExpectAsNode(patterns, AllTexts({"a", "b", " "}, 4), AsAutomaton);
  ExpectAsNode(patterns, AllTexts({"a", "b", " "}, 4), AsJudged);
}

TEST(RegexTexts, MatchAsAWhole) {
  const Regular texts = RegexTexts("a|b+|(?=c)cd", "regex");
  for (const char* text : {"a", "bb", "cd"}) EXPECT_TRUE(texts.Matches(text)) << text;
  for (const char* text : {"", "ab", "xa", "bbx", "c"}) EXPECT_FALSE(texts.Matches(text)) << text;
}

TEST(PatternTexts, RefuseByNameAndPosition) {
  EXPECT_THAT(ErrorOf("ab(c)\\1"),
              HasSubstr("#/pattern: the pattern \"ab(c)\\\\1\" has a backreference at offset 5"));
  EXPECT_THAT(ErrorOf("(?<n>a)\\k<n>"), HasSubstr("a backreference at offset 7"));
  EXPECT_THAT(ErrorOf("(?<=a)b"), HasSubstr("a lookbehind at offset 0"));
  EXPECT_THAT(ErrorOf("(?<!a)b"), HasSubstr("a lookbehind at offset 0"));
  EXPECT_THAT(ErrorOf("(a)\\2"), HasSubstr("a reference to a group that does not exist at offset 3"));
  EXPECT_THAT(ErrorOf("\\k<n>(?<m>a)"), HasSubstr("a reference to a group that does not exist at offset 0"));
  EXPECT_THAT(ErrorOf("(?<n>a)(?<n>b)"), HasSubstr("two groups of one name"));
  EXPECT_THAT(ErrorOf("(?i)b"), HasSubstr("flags in a group at offset 0"));
  EXPECT_THAT(ErrorOf("\\p{Greek}"), HasSubstr("the property \"Greek\""));
  EXPECT_THAT(ErrorOf("a\\z"), HasSubstr("the escape \\z at offset 1"));
  for (const char* pattern :
       {"(",      ")",  "(?",    "(?<>a)", "[a",    "a**",         "*",    "[z-a]", "[a-\\d]",
        "a{2,1}", "a{", "a{,2}", "\\",     "\\u12", "\\u{110000}", "\\x1", "\\c1",  "\\01",
        "\\pL",   "^*", "\\b+",  "(?=a)*", "a++",   "a{99999999}", "{2}"}) {
    EXPECT_THAT(ErrorOf(pattern), HasSubstr("at offset")) << pattern;
  }
  EXPECT_THAT(ErrorOf(std::string(5000, '(')), HasSubstr("nested too deeply"));
  EXPECT_LT(ErrorOf(std::string(5000, '(')).size(), 300u);
}

TEST(PatternTexts, OfHostilePatternsEndSoon) {
  std::string many_classes;
  for (int i = 0; i < 4000; ++i)
    many_classes += fmt::format("[\\u{{{:x}}}-\\u{{{:x}}}]|", 0x1000 + i, 0x8000 + i);
  for (const std::string& pattern :
       {std::string("(a|a)*b{1000}"), std::string("^(a{1,200}){1,200}$"), std::string("((a{100}){100}){100}"),
        std::string("^(a|b)*a(a|b){20}$"), std::string("a.{3000}b"), std::string("(a?){2000}"),
        std::string("((((){1000000}){1000000}){1000000})*x"), std::string("(?!(a|b)*a(a|b){25})c"),
        std::string("^(?=.*a.{9})(?=.*b.{9})(?=.*c.{9})(?=.*d.{9}).{40}"), std::string(200000, 'a'),
        many_classes, std::string("(\\b|a){60000}"), std::string("^\\p{L}{5000}\\p{N}{5000}$")}) {
    const std::clock_t begin = std::clock();  // of this process: the machine may be busy
    const std::string error = ErrorOf(pattern);
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    EXPECT_LT(seconds, 3) << pattern.substr(0, 40) << ": " << error;
    EXPECT_TRUE(error == "no error" || error.find("#/pattern: the pattern \"") != error.npos) << error;
  }
  EXPECT_THAT(ErrorOf(many_classes), HasSubstr("overlap in too many ways"));
  EXPECT_THAT(ErrorOf("x((a{100}){100}){100}"), HasSubstr("states: its largest repeat is at offset"));
}

// A name that is cut for a message finds no beginning of a character in bytes that are none.
TEST(PatternTexts, RefusesWhatIsNotUtf8) {
  EXPECT_EQ(ErrorOf("a\xf6z"),
            "JSON schema: #/pattern: the pattern \"a\\xf6z\" has a byte that is not UTF-8 at offset 1");
  EXPECT_THAT(ErrorOf(std::string(150, '\x8f')), HasSubstr("has a byte that is not UTF-8 at offset 0"));
  EXPECT_THAT(ErrorOf(std::string(99, 'a') + "\u20ac("), HasSubstr("aa\"... has"));
}

TEST(UnicodeProperty, NamesAsEcma262) {
  const auto has = [](const char* name, uint32_t c) {
    const CodePoints chars = *UnicodeProperty(name);
    for (const auto& [first, last] : chars)
      if (first <= c && c <= last) return true;
    return false;
  };
  EXPECT_TRUE(has("Lu", 'A') && !has("Lu", 'a') && has("Uppercase_Letter", 'A') && has("gc=Lu", 0xc0));
  EXPECT_TRUE(has("Script=Greek", 0x3b1) && has("sc=Grek", 0x3b1) && !has("Script=Latin", 0x3b1));
  EXPECT_TRUE(has("scx=Deva", 0x964) && !has("sc=Deva", 0x964));
  EXPECT_TRUE(has("Assigned", 'a') && !has("Assigned", 0x378) && has("Any", 0x10ffff) && has("ASCII", 0x7f));
  for (const char* name :
       {"", "lu", "Greek", "Script=", "Script=greek", "Script=Klingon", "gc=Greek", "x=y", "Lu}"})
    EXPECT_FALSE(UnicodeProperty(name)) << name;
}

}  // namespace
}  // namespace throng::llm
