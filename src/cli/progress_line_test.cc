#include "cli/progress_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <unistd.h>

#include <functional>
#include <stdexcept>
#include <string>

namespace throng::cli {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

TEST(FitColumnsTest, CountsColumnsOfCharacters) {
  EXPECT_EQ(FitColumns("abc", 3), "abc");
  EXPECT_EQ(FitColumns("abcd", 3), "abc");
  EXPECT_EQ(FitColumns("Zo\u00eb walks", 3), "Zo\u00eb");
  EXPECT_EQ(FitColumns("\u6751\u306e\u5e83\u5834", 5), "\u6751\u306e");  // two columns each
  EXPECT_EQ(FitColumns("e\u0301tude", 2), "e\u0301t");                   // an accent takes none
  EXPECT_EQ(FitColumns("abc", 0), "");
  EXPECT_EQ(FitColumns("\xff\xfe", 1), "\xff");
}

// What a terminal of some columns is sent while `show` runs.
std::string SentToTerminal(unsigned short columns, const std::function<void()>& show) {
  int terminal = -1;
  int end = -1;
  winsize size{};
  size.ws_row = 24;
  size.ws_col = columns;
  if (openpty(&terminal, &end, nullptr, nullptr, &size) != 0) throw std::runtime_error("no terminal");
  const int stderr_before = dup(STDERR_FILENO);
  dup2(end, STDERR_FILENO);
  show();
  dup2(stderr_before, STDERR_FILENO);
  std::string sent;
  char bytes[256];
  pollfd ready = {.fd = terminal, .events = POLLIN, .revents = 0};
  while (poll(&ready, 1, 0) > 0 && (ready.revents & POLLIN) != 0) {
    sent.append(bytes, static_cast<size_t>(read(terminal, bytes, sizeof(bytes))));
  }
  for (const int open : {terminal, end, stderr_before}) close(open);
  return sent;
}

TEST(ProgressLineTest, FitsTheTerminal) {
  const std::string text = "12:30, 1234 of 5000 calls, 25 agents";
  const auto show = [&] { ProgressLine(/*quiet=*/false).Show(text); };
  EXPECT_THAT(SentToTerminal(80, show), HasSubstr("\x1b[K" + text + "\r"));
  EXPECT_THAT(SentToTerminal(20, show), HasSubstr("\x1b[K" + text.substr(0, 19) + "\r"));
  EXPECT_THAT(SentToTerminal(20, show), EndsWith("\r\x1b[K"));
  EXPECT_EQ(SentToTerminal(20, [&] { ProgressLine(/*quiet=*/true).Show(text); }), "");
}

}  // namespace
}  // namespace throng::cli
