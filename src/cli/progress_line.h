// Shows the progress of a long run on stderr: on a terminal one line that is rewritten and no wider than it,
// otherwise a line every ten seconds.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace throng::cli {

class ProgressLine {
 public:
  explicit ProgressLine(bool quiet);
  ~ProgressLine();  // leaves the cursor on an empty line
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  double IntervalSeconds() const;  // seconds between useful calls of Show
  void Show(const std::string& text);
  void ShowRarely(const std::string& text);  // if IntervalSeconds have passed since the last time
  void Clear();

 private:
  bool quiet_;
  bool terminal_;
  bool shown_ = false;
  std::optional<std::chrono::steady_clock::time_point> last_;
};

// Shows how many of `total` are done and how long the others will take, no more often than a reader wants to
// know. The line must outlive it.
std::function<void(size_t done, size_t total)> ShowProgress(ProgressLine& line, const char* what);

// The longest beginning of a text (UTF-8) that fits into this many columns of a terminal.
std::string_view FitColumns(std::string_view text, int columns);

}  // namespace throng::cli
