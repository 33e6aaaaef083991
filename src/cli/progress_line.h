// What a long run says on stderr while it goes on: one line that is rewritten on a terminal, else a line
// every ten seconds.
#pragma once

#include <string>

namespace throng::cli {

class ProgressLine {
 public:
  explicit ProgressLine(bool quiet);
  ~ProgressLine();  // leaves the cursor on an empty line
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  bool Quiet() const { return quiet_; }
  double IntervalSeconds() const;  // how often Show is worth calling
  void Show(const std::string& text);
  void Clear();

 private:
  bool quiet_;
  bool terminal_;
  bool shown_ = false;
};

// "1.5 MB", "740 B".
std::string HumanBytes(double bytes);

}  // namespace throng::cli
