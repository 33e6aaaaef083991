#include "llm/grammar/gbnf_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "llm/grammar/automaton.h"

namespace throng::llm {
namespace {

using ::testing::HasSubstr;

Automaton Compiled(const std::string& text) {
  Constraint constraint;
  constraint.grammar = text;
  return Automaton(CompileGrammar(constraint));
}

std::string ErrorOf(const std::string& text) {
  try {
    Compiled(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(GbnfParser, ReadsArithmetic) {
  Automaton automaton = Compiled(R"g(# sums of products
root  ::= (expr "=" ws
           term "\n")+   # a group may go on
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]{1,3} ws
ws    ::= [ \t\n]*
)g");
  EXPECT_TRUE(automaton.Matches("x=1\n"));
  EXPECT_TRUE(automaton.Matches("(a1 +(2*b))-3 = 42\n7=y\n"));
  for (const char* text : {"", "x=1", "(x=1\n", "x=1234\n", "=1\n", "x+=1\n"})
    EXPECT_FALSE(automaton.Matches(text)) << text;
}

TEST(GbnfParser, ReadsEscapesClassesAndRepeats) {
  Automaton automaton = Compiled(R"(root ::= "\x41\u00e9\U0001F600\"" [^a-c\]]{2} [\x30-9]{0,} . "-"{2,3})");
  EXPECT_TRUE(automaton.Matches("Aé😀\"xé12漢--"));
  EXPECT_FALSE(automaton.Matches("Aé😀\"xa12漢--"));
  EXPECT_FALSE(automaton.Matches("Aé😀\"xx12漢----"));
  Automaton empty = Compiled("root ::= \"\" | more\nmore ::= \"a\" root | \"b\"");
  for (const char* text : {"", "a", "aab", "b"}) EXPECT_TRUE(empty.Matches(text)) << text;
  EXPECT_FALSE(empty.Matches("ba"));
}

TEST(GbnfParser, RecursionNeedsNoStackAtTheEndOfARule) {
  Automaton automaton = Compiled("root ::= \"a\" root | \"b\"");
  EXPECT_TRUE(automaton.Matches(std::string(100000, 'a') + "b"));
  Automaton nested = Compiled("root ::= \"(\" root \")\" | \"x\"");
  EXPECT_TRUE(nested.Matches(std::string(500, '(') + "x" + std::string(500, ')')));
  EXPECT_FALSE(nested.Matches(std::string(600, '(') + "x" + std::string(600, ')')));  // too deep
}

// As many readings as there are numbers of the Catalan sequence.
TEST(GbnfParser, AmbiguousGrammarsStaySmall) {
  Automaton automaton = Compiled("root ::= \"a\" root root | \"a\" root | \"a\"");
  EXPECT_TRUE(automaton.Matches(std::string(200, 'a')));
  EXPECT_FALSE(automaton.Matches(std::string(200, 'a') + "b"));
}

TEST(GbnfParser, SaysWhatIsWrong) {
  EXPECT_THAT(ErrorOf("x ::= \"a\""), HasSubstr("no rule root"));
  EXPECT_THAT(ErrorOf("root ::= y"), HasSubstr("line 1, column 10: the rule y is used, but not defined"));
  EXPECT_THAT(ErrorOf("root ::= \"a\"\nroot ::= \"b\""), HasSubstr("line 2, column"));
  EXPECT_THAT(ErrorOf("root = \"a\""), HasSubstr("expected ::="));
  EXPECT_LT(ErrorOf(std::string(5000, 'x')).size(), 200u);
  EXPECT_THAT(ErrorOf("root ::= \"a"), HasSubstr("no \" at its end"));
  EXPECT_THAT(ErrorOf("root ::= [a"), HasSubstr("no ] at its end"));
  EXPECT_THAT(ErrorOf("root ::= (\"a\""), HasSubstr("at the end of a group"));
  EXPECT_THAT(ErrorOf("root ::= \"a\"{3,2}"), HasSubstr("minimum above its maximum"));
  EXPECT_THAT(ErrorOf("root ::= [z-a]"), HasSubstr("ends below its begin"));
  EXPECT_THAT(ErrorOf("root ::= \"\\q\""), HasSubstr("an escape is none of"));
  EXPECT_THAT(ErrorOf("root ::= *"), HasSubstr("found \"*\""));
  EXPECT_THAT(ErrorOf("root ::= <think>"), HasSubstr("tokens of a vocabulary"));
  EXPECT_THAT(ErrorOf("root ::= root \"a\" | \"b\""), HasSubstr("the rule root begins with itself"));
  EXPECT_THAT(ErrorOf("root ::= a\na ::= \"x\"? b\nb ::= a \"y\""), HasSubstr("begins with itself"));
  for (const char* itself :
       {"root ::= root", "root ::= (root)", "root ::= a\na ::= b\nb ::= a", "root ::= root?"})
    EXPECT_THAT(ErrorOf(itself), HasSubstr("begins with itself")) << itself;
  EXPECT_THAT(ErrorOf("root ::= \"a\" root"), HasSubstr("allows no text that ends"));
  EXPECT_THAT(ErrorOf("root ::= " + std::string(5000, '(')), HasSubstr("nested too deeply"));
  std::string chain = "root ::= r0 \"x\"";
  for (int i = 0; i < 20000; ++i) chain += fmt::format("\nr{} ::= r{} \"x\"", i, i + 1);
  EXPECT_EQ(ErrorOf(chain + "\nr20000 ::= \"y\""), "no error");
}

TEST(Regex, MatchesAsAWhole) {
  Constraint constraint;
  constraint.regex = "(yes|no)( \\w+){0,2}";
  Automaton automaton(CompileGrammar(constraint));
  EXPECT_TRUE(automaton.Matches("yes we can"));
  EXPECT_FALSE(automaton.Matches("oh yes"));
  EXPECT_FALSE(automaton.Matches("yes we can do"));
  constraint.regex = "(";
  EXPECT_THROW(CompileGrammar(constraint), Error);
  constraint.grammar = "root ::= \"a\"";
  EXPECT_THROW(CompileGrammar(constraint), Error);
}

}  // namespace
}  // namespace throng::llm
