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
  CsvTable table = ParseCsv("a.csv", text, problems);
  problems.ThrowFirst();
  return table;
}

std::string ProblemOf(const std::string& text) {
  Problems problems;
  ParseCsv("a.csv", text, problems);
  return problems.Empty() ? "none" : problems.All()[0].Sentence();
}

TEST(Csv, QuotesHoldSeparatorsLinesAndQuotes) {
  const CsvTable table = Parse("a,b\r\n\"x, \"\"y\"\"\nz\",1\r\n\r\n,\r\nlast,\"\"");
  EXPECT_THAT(table.header, ElementsAre("a", "b"));
  ASSERT_THAT(table.rows, SizeIs(3));
  EXPECT_THAT(table.rows[0].cells, ElementsAre("x, \"y\"\nz", "1"));
  EXPECT_THAT(table.rows[1].cells, ElementsAre("", ""));
  EXPECT_THAT(table.rows[2].cells, ElementsAre("last", ""));
  EXPECT_EQ(table.rows[0].line, 2);
  EXPECT_EQ(table.rows[2].line, 6);
}

TEST(Csv, OtherSeparatorsAreToldFromTheFirstLine) {
  EXPECT_THAT(Parse("a;b\n1,5;2\n").rows[0].cells, ElementsAre("1,5", "2"));
  EXPECT_THAT(Parse("\"a;b\"\tc\n1\t2\n").header, ElementsAre("a;b", "c"));
}

TEST(Csv, ProblemsNameTheirLine) {
  EXPECT_THAT(ProblemOf(""), HasSubstr("a.csv: found no rows"));
  EXPECT_THAT(ProblemOf("a,b\n1,2\n3\n"), HasSubstr("a.csv:3: found 1 values, allowed: 2"));
  EXPECT_THAT(ProblemOf("a,b\n1,\"2\n"), HasSubstr("a.csv:2: a quote begins here and does not end"));
  EXPECT_THAT(ProblemOf("a,b\n1,\"2\"x\n"), HasSubstr("a.csv:2: found \"x\" after a closing quote"));
}

}  // namespace
}  // namespace throng::town
