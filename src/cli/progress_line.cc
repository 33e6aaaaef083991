#include "cli/progress_line.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include <cstdio>

#include "base/text/utf8.h"

namespace throng::cli {
namespace {

// Without the last one, in which some terminals begin a new line.
int TerminalColumns() {
  winsize size{};
  const bool is_known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return (is_known ? size.ws_col : 80) - 1;
}

}  // namespace

ProgressLine::ProgressLine(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) != 0) {}

ProgressLine::~ProgressLine() { Clear(); }

double ProgressLine::IntervalSeconds() const { return terminal_ ? 0.5 : 10; }

void ProgressLine::Show(const std::string& text) {
  if (quiet_) return;
  if (terminal_) {
    fmt::print(stderr, "\r\x1b[K{}", FitColumns(text, TerminalColumns()));
  } else {
    fmt::print(stderr, "{}\n", text);
  }
  std::fflush(stderr);
  shown_ = terminal_;
}

void ProgressLine::ShowRarely(const std::string& text) {
  const auto now = std::chrono::steady_clock::now();
  if (last_ && now - *last_ < std::chrono::duration<double>(IntervalSeconds())) return;
  last_ = now;
  Show(text);
}

void ProgressLine::Clear() {
  if (!shown_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  shown_ = false;
}

std::function<void(size_t, size_t)> ShowProgress(ProgressLine& line, const char* what) {
  using Clock = std::chrono::steady_clock;
  return [&line, what, begin = Clock::now(), shown = Clock::now()](size_t done, size_t total) mutable {
    const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
    const Clock::time_point now = Clock::now();
    if (seconds(now - shown) < line.IntervalSeconds()) return;
    shown = now;
    const double left = seconds(now - begin) * static_cast<double>(total - done) / static_cast<double>(done);
    line.Show(fmt::format("{} of {} {}, about {:.0f} s left", done, total, what, left));
  };
}

std::string_view FitColumns(std::string_view text, int columns) {
  size_t length = 0;
  while (length < text.size()) {
    const Utf8Step step = NextUtf8(text.substr(length));
    if (step.kind == Utf8Step::kValid) columns -= utf8proc_charwidth(static_cast<int32_t>(step.value));
    if (step.kind != Utf8Step::kValid) --columns;
    if (columns < 0) break;
    length += step.length;
  }
  return text.substr(0, length);
}

}  // namespace throng::cli
