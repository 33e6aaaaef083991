#include "model/folder/tokenizer_json.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/text/utf8.h"
#include "model/folder/json_file.h"
#include "model/gguf/gguf_values.h"

namespace throng::model {
namespace {

using nlohmann::json;

// Steps through JSON. Each step says whether the text goes on as it must; ParseJson says what is wrong.
class Scanner {
 public:
  Scanner(std::string_view text, std::deque<std::string>& made) : text_(text), made_(made) {}

  size_t Offset() const { return at_; }
  char Peek() {
    const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool Take(char c) {
    if (Peek() != c) return false;
    ++at_;
    return true;
  }

  bool String(std::string_view& out) {
    const size_t begin = at_ + 1;
    bool is_plain = true;
    if (!SkipString(is_plain)) return false;
    out = text_.substr(begin, at_ - 1 - begin);
    if (is_plain) return ValidUtf8Prefix(out) == out.size();
    json value = json::parse(text_.substr(begin - 1, at_ - begin + 1), nullptr, /*allow_exceptions=*/false);
    if (!value.is_string()) return false;
    out = made_.emplace_back(std::move(value.get_ref<std::string&>()));
    return true;
  }

  // Any value, whose inside is not checked.
  bool Skip(std::string_view& out) {
    Peek();
    const size_t begin = at_;
    size_t open = 0;
    do {
      bool is_plain = true;
      const char c = Peek();
      if (c == '"') {
        if (!SkipString(is_plain)) return false;
      } else if (c == '\0') {
        return false;
      } else if (c == '{' || c == '[') {
        ++open, ++at_;
      } else if (c == '}' || c == ']') {
        if (open == 0) return false;
        --open, ++at_;
      } else if (open > 0 && (c == ',' || c == ':')) {
        ++at_;
      } else {
        at_ = std::min(text_.find_first_of(",:]} \t\r\n\"[{", at_ + 1), text_.size());
      }
    } while (open > 0);
    out = text_.substr(begin, at_ - begin);
    return true;
  }

  // Calls each(key) at every value of an object, which reads it.
  template <typename Each>
  bool Object(const Each& each) {
    if (!Take('{')) return false;
    if (Take('}')) return true;
    do {
      std::string_view key;
      if (Peek() != '"' || !String(key) || !Take(':') || !each(key)) return false;
    } while (Take(','));
    return Take('}');
  }

  // Calls each() at every value of a list.
  template <typename Each>
  bool List(const Each& each) {
    if (!Take('[')) return false;
    if (Take(']')) return true;
    do {
      if (!each()) return false;
    } while (Take(','));
    return Take(']');
  }

 private:
  bool SkipString(bool& is_plain) {
    if (Peek() != '"') return false;
    for (++at_; at_ < text_.size(); ++at_) {
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') return ++at_, true;
      if (c < 0x20) return false;
      if (c == '\\') is_plain = false, ++at_;
    }
    return false;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::deque<std::string>& made_;
};

class Reader {
 public:
  Reader(std::string_view text, const std::string& name)
      : text_(text), name_(name), scanner_(text, read_.made) {}

  TokenizerJson Read() {
    const bool is_sound = scanner_.Object([&](std::string_view key) {
      if (key == "model" && scanner_.Peek() == '{') return Model();
      std::string_view skipped;
      return scanner_.Skip(skipped);
    });
    if (!is_sound) {
      ParseJson(text_, name_);
      throw MakeError(ErrorCode::kCorrupt, "{}: is not JSON", name_);
    }
    rest_ += text_.substr(copied_);
    read_.values = ParseJson(rest_, name_);
    return std::move(read_);
  }

 private:
  bool Model() {
    return scanner_.Object([&](std::string_view key) {
      const char kind = scanner_.Peek();
      const size_t begin = scanner_.Offset();
      std::string_view skipped;
      if (key == "vocab" && kind == '{') {
        read_.vocab.reserve(text_.size() / 64);
        return scanner_.Object([&](std::string_view name) { return Token(name); }) && Cut(begin, "{}");
      }
      if (key == "merges" && kind == '[') {
        read_.merges.reserve(text_.size() / 64);
        return scanner_.List([&] { return Merge(); }) && Cut(begin, "[]");
      }
      return scanner_.Skip(skipped);
    });
  }

  // What was read stands as `instead` in the text of the other values.
  bool Cut(size_t begin, std::string_view instead) {
    rest_ += text_.substr(copied_, begin - copied_);
    rest_ += instead;
    copied_ = scanner_.Offset();
    return true;
  }

  bool Token(std::string_view name) {
    std::string_view value;
    if (!scanner_.Skip(value)) return false;
    uint32_t id = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), id);
    const bool is_number = error == std::errc() && end == value.data() + value.size();
    const bool has_zeros = value.size() > 1 && value[0] == '0';
    if (!is_number || has_zeros || id >= kMaxTokens) {
      throw MakeError(ErrorCode::kCorrupt, "{}: a token has the id {}; 0 to {} are allowed", name_,
                      Quoted(value), kMaxTokens - 1);
    }
    read_.vocab.emplace_back(name, id);
    return true;
  }

  // Two strings in a list, or one with a space between them.
  bool Merge() {
    const char kind = scanner_.Peek();
    if (kind == '"') return scanner_.String(read_.merges.emplace_back());
    const size_t begin = scanner_.Offset();
    std::vector<std::string_view> pair;
    const bool is_list = kind == '[' && scanner_.List([&] {
      return scanner_.Peek() == '"' && scanner_.String(pair.emplace_back());
    });
    if (!is_list || pair.size() != 2) {
      Scanner whole(text_.substr(begin), read_.made);
      std::string_view merge;
      if (!whole.Skip(merge)) return false;
      throw MakeError(ErrorCode::kCorrupt, "{}: a merge is {}; two strings are expected", name_,
                      Quoted(merge));
    }
    std::string& joined = read_.made.emplace_back(pair[0]);
    joined += ' ';
    joined += pair[1];
    if (std::ranges::count(joined, ' ') != 1) {
      throw MakeError(ErrorCode::kCorrupt,
                      "{}: the merge {} has a space within a token, which is not supported", name_,
                      Quoted(joined));
    }
    read_.merges.push_back(joined);
    return true;
  }

  std::string_view text_;
  const std::string& name_;
  TokenizerJson read_;
  Scanner scanner_;
  std::string rest_;
  size_t copied_ = 0;  // of the text, to rest_
};

}  // namespace

TokenizerJson ReadTokenizerJson(std::string_view text, const std::string& name) {
  return Reader(text, name).Read();
}

}  // namespace throng::model
