#include "studies/timeline_svg.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "base/error.h"

namespace throng::studies {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

trace::ReplayRow RowOf(double seconds, std::vector<llm::CallSpan> spans) {
  trace::ReplayRow row;
  row.mode = "ooo";
  row.stats.backend_s = seconds;
  row.spans = std::move(spans);
  row.functions = {"plan", "say <hello>"};
  return row;
}

// Total pixels of all bars of this colour.
int InkOf(const std::string& svg, const std::string& colour) {
  int ink = 0;
  const std::regex bars("path fill=\"" + colour + "\"[^>]* d=\"([^\"]*)\"");
  const std::regex bar("M[0-9]+ [0-9]+h([0-9]+)v");
  for (std::sregex_iterator path(svg.begin(), svg.end(), bars), end; path != end; ++path) {
    const std::string commands = (*path)[1];
    for (std::sregex_iterator it(commands.begin(), commands.end(), bar); it != end; ++it) {
      ink += std::stoi((*it)[1]);
    }
  }
  return ink;
}

TEST(TimelineSvg, BarsAreAsLongAsTheirCalls) {
  // 1200 pixels for 120 seconds.
  const std::string svg =
      TimelineSvg({RowOf(120, {{{0, 0, 0}, 0, 10, 40}, {{1, 0, 0}, 1, 100, 120}})}, TimeWindow());
  EXPECT_EQ(InkOf(svg, "#4477aa"), 300);
  EXPECT_EQ(InkOf(svg, "#ee6677"), 200);
  EXPECT_THAT(svg, HasSubstr("say &lt;hello&gt;"));
  const std::string part =
      TimelineSvg({RowOf(120, {{{0, 0, 0}, 0, 10, 40}, {{1, 0, 0}, 1, 100, 120}})}, TimeWindow{30, 110});
  EXPECT_EQ(InkOf(part, "#4477aa"), 150);
  EXPECT_EQ(InkOf(part, "#ee6677"), 150);
}

TEST(TimelineSvg, CallsShorterThanAPixelKeepTheirShareAndTheFileStaysSmall) {
  std::vector<llm::CallSpan> spans;
  for (int i = 0; i < 100000; ++i) spans.push_back({{0, i, 0}, 0, i * 1.0, i + 0.25});
  const std::string svg = TimelineSvg({RowOf(100000, spans)}, TimeWindow());
  EXPECT_NEAR(InkOf(svg, "#4477aa"), 300, 1);
  EXPECT_LT(svg.size(), 40000u);
}

TEST(TimelineSvg, SaysWhichAgentsAreNotShown) {
  const std::string many = TimelineSvg({RowOf(10, {{{4999, 0, 0}, 0, 0, 10}})}, TimeWindow());
  EXPECT_THAT(many, HasSubstr("of 5000 agents"));
  EXPECT_EQ(InkOf(many, "#4477aa"), 0);
  EXPECT_THAT(TimelineSvg({RowOf(10, {})}, TimeWindow()), Not(HasSubstr("agents")));
}

TEST(TimelineSvg, LinesHaveTheirAgentsFirstNames) {
  const std::vector<trace::ReplayRow> rows = {RowOf(10, {{{1, 0, 0}, 0, 0, 10}})};
  const std::string svg = TimelineSvg(rows, TimeWindow(), {"Ada Day", "<B\x01>"});
  EXPECT_THAT(svg, HasSubstr(">Ada</text>"));
  EXPECT_THAT(svg, HasSubstr(">&lt;B &gt;</text>"));
  const std::string many = TimelineSvg({RowOf(10, {{{99, 0, 0}, 0, 0, 10}})}, TimeWindow(), {"Ada"});
  EXPECT_THAT(many, Not(HasSubstr("Ada")));
}

TEST(TimelineSvg, WindowsAreTwoSeconds) {
  const TimeWindow window = TimeWindow::Parse("0.5:400");
  EXPECT_EQ(window.from_s, 0.5);
  EXPECT_EQ(window.until_s, 400);
  for (const char* wrong :
       {"", "5", "a:b", "5:2", "5:5", "1:2x", "-1:4", "1:nan", "1:inf", ":", "1:", ":1"}) {
    EXPECT_THROW(TimeWindow::Parse(wrong), Error) << wrong;
  }
}

}  // namespace
}  // namespace throng::studies
