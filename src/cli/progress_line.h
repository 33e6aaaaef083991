// Shows the progress of a long run on stderr: on a terminal one line that is rewritten, otherwise a line
// every ten seconds.
#pragma once

#include <chrono>
#include <optional>
#include <string>

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

}  // namespace throng::cli
