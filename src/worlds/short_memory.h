// What an example agent remembers, as its prompts show it: the last few lines.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/digest.h"
#include "base/text/trim.h"

namespace throng::worlds {

// Turns an answer into one line of a prompt, so that nothing a model writes can look like another line.
inline std::string OneLine(std::string_view text) {
  std::string line(text);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return std::string(Trimmed(line, " "));
}

class ShortMemory {
 public:
  void Add(std::string line) {
    if (lines_.size() == kLines) lines_.erase(lines_.begin());
    lines_.push_back(std::move(line));
  }
  // "- ...\n" for each, oldest first; "- nothing\n" if there are none.
  std::string Text() const {
    if (lines_.empty()) return "- nothing\n";
    std::string text;
    for (const std::string& line : lines_) text.append("- ").append(line).append("\n");
    return text;
  }
  void Hash(Hasher& hasher) const {
    hasher.Add(uint64_t{lines_.size()});
    for (const std::string& line : lines_) hasher.Add(line);
  }
  void Write(ByteWriter& out) const {
    out.Add(uint64_t{lines_.size()});
    for (const std::string& line : lines_) out.Add(std::string_view(line));
  }
  static ShortMemory Read(ByteReader& in) {
    ShortMemory memory;
    for (size_t left = in.GetCount(sizeof(uint64_t)); left > 0; --left) memory.Add(std::string(in.GetText()));
    return memory;
  }

 private:
  static constexpr size_t kLines = 6;

  std::vector<std::string> lines_;
};

}  // namespace throng::worlds
