// The text of an answer that is not read yet, and the literals that may be found in it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace throng::llm {

class HeldText {
 public:
  enum class Found { kYes, kNo, kMore };  // kMore: the text is too short to tell

  void Add(std::string_view text) { text_ += text; }
  std::string Take(size_t bytes);
  std::string TakeSpace() { return Take(LeadingSpace(0)); }

  const std::string& Text() const { return text_; }
  bool Empty() const { return text_.empty(); }
  char Front() const { return text_[0]; }
  // The bytes of white space at a place.
  size_t LeadingSpace(size_t from) const;

  // Whether a literal is found at a place, and how long it is there: white space may differ, and `#` stands
  // for digits.
  Found Match(std::string_view literal, size_t from, size_t& length) const;
  // Where a literal, but for white space around it, is found in that way; npos: nowhere.
  size_t Find(std::string_view literal, size_t from, size_t& length) const;
  // Sets `at` to where the first of the literals is found, as it is, and which one that is (true); or to
  // where one may begin at the text's end, unless nothing follows it; or to the text's end.
  bool FindFirst(const std::vector<std::string_view>& literals, bool is_final, size_t& at,
                 std::string_view& literal) const;

 private:
  std::string text_;
};

inline constexpr std::string_view kSpaces = " \t\r\n";
inline bool IsSpace(char byte) { return kSpaces.find(byte) != std::string_view::npos; }

}  // namespace throng::llm
