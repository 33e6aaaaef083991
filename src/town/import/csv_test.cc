#include "town/import/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace throng::town {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

CsvTable Parse(const std::string& text) {
  Problems problems;
  CsvTable table = ParseCsv("a.csv", text, 5, problems);
  problems.ThrowFirst();
  return table;
}

std::string ProblemsOf(const std::string& text) {
  Problems problems;
  ParseCsv("a.csv", text, 5, problems);
  std::string sentences;
  for (const Problem& problem : problems.All()) sentences += problem.Sentence() + "\n";
  return sentences;
}

TEST(Csv, QuotesHoldSeparatorsLinesAndQuotes) {
  const CsvTable table = Parse("a,b\r\n\"x, \"\"y\"\"\nz\",1\r\n\r\n,\r\nlast,\"\"");
  EXPECT_THAT(table.header, ElementsAre("a", "b"));
  ASSERT_THAT(table.rows, SizeIs(2));
  EXPECT_THAT(table.rows[0].cells, ElementsAre("x, \"y\"\nz", "1"));
  EXPECT_THAT(table.rows[1].cells, ElementsAre("last", ""));
  EXPECT_EQ(table.rows[0].line, 2);
  EXPECT_EQ(table.rows[1].line, 6);
}

TEST(Csv, OtherSeparatorsAreToldFromTheFirstLine) {
  EXPECT_THAT(Parse("a;b\n1,5;2\n").rows[0].cells, ElementsAre("1,5", "2"));
  EXPECT_THAT(Parse("\"a;b\"\tc\n1\t2\n").header, ElementsAre("a;b", "c"));
  EXPECT_THAT(Parse("a;b\rx,y,z;w\r").rows[0].cells, ElementsAre("x,y,z", "w"));
  const CsvTable named = Parse("sep=;\r\na,b\r\n1,5\r\n");
  EXPECT_THAT(named.header, ElementsAre("a,b"));
  EXPECT_THAT(named.rows[0].cells, ElementsAre("1,5"));
  EXPECT_EQ(named.rows[0].line, 3);
}

TEST(Csv, ProblemsNameTheirLine) {
  EXPECT_THAT(ProblemsOf(""), HasSubstr("a.csv: found no rows"));
  EXPECT_EQ(ProblemsOf("a,b\n1\n1,2\n\"3\"x\n1,2,3\n1,\"4\n"),
            "a.csv:2: found 1 value, allowed: 2, as many as columns\n"
            "a.csv:4: found \"x\" after a closing quote, allowed: a separator; quotes in quotes are doubled\n"
            "a.csv:5: found 3 values, allowed: 2, as many as columns\n"
            "a.csv:6: a quote begins here and does not end\n");
  EXPECT_EQ(ProblemsOf("a\n1\n2\n3\n4\n5\n"), "");
  EXPECT_EQ(ProblemsOf("a\n1\n2\n3\n4\n5\n6\n7\n"), "a.csv:7: found more rows, allowed: 5\n");
}

}  // namespace
}  // namespace throng::town
