#include "cli/progress_line.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>

namespace throng::cli {

ProgressLine::ProgressLine(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) != 0) {}

ProgressLine::~ProgressLine() { Clear(); }

double ProgressLine::IntervalSeconds() const { return terminal_ ? 0.5 : 10; }

void ProgressLine::Show(const std::string& text) {
  if (quiet_) return;
  if (terminal_) {
    fmt::print(stderr, "\r\x1b[K{}", text);
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

}  // namespace throng::cli
