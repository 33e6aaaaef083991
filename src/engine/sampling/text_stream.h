// The text of an answer as its bytes arrive: finds stop strings, and says which part of the text is final.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace throng::engine {

class TextStream {
 public:
  explicit TextStream(std::vector<std::string> stop);  // empty stop strings are ignored

  // Appends the bytes of a token. Returns true if they complete a stop string: the text then ends before the
  // first one, and nothing more may be appended. may_stop: false where no stop string counts yet.
  bool Append(std::string_view bytes, bool may_stop = true);

  // The bytes that became final since the last call: whole UTF-8 characters that no stop string can still cut
  // off. The view holds until the next Append.
  std::string_view TakeFinal();

  // Everything that is left, once the answer has ended.
  std::string_view TakeRest();

  const std::string& Text() const { return text_; }
  size_t NumTaken() const { return taken_; }  // bytes that the functions above have returned
  bool Stopped() const { return stopped_; }

 private:
  size_t FinalEnd() const;

  std::vector<std::string> stop_;
  size_t longest_stop_ = 0;
  std::string text_;
  size_t taken_ = 0;
  bool stopped_ = false;
};

}  // namespace throng::engine
