// What a long run says on stderr while it goes on: one line that is rewritten on a terminal, else a line
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

  double IntervalSeconds() const;  // how often Show is worth calling
  void Show(const std::string& text);
  void ShowRarely(const std::string& text);  // if so long has passed since the last time
  void Clear();

 private:
  bool quiet_;
  bool terminal_;
  bool shown_ = false;
  std::optional<std::chrono::steady_clock::time_point> last_;
};

}  // namespace throng::cli
