// Words by regular expression (PCRE2).

#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/tokenizer/tokenizer_split.h"

#include <pcre2.h>

#include <algorithm>
#include <memory>
#include <new>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "base/text/utf8.h"

namespace throng::model {
namespace {

struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

}  // namespace

class WordSplitter::Pattern {
 public:
  explicit Pattern(const SplitStep& step) : in_threes_(step.in_threes) {
    int error = 0;
    PCRE2_SIZE where = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(step.pattern), PCRE2_ZERO_TERMINATED,
                          PCRE2_UTF | PCRE2_UCP, &error, &where, nullptr);
    THRONG_CHECK(code_ != nullptr);
    pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE);  // without it the interpreter matches, only slower
    context_ = pcre2_match_context_create(nullptr);
    THRONG_CHECK(context_ != nullptr);
    // The patterns need time linear in the text; the usual limit would refuse a run of 10 million spaces.
    pcre2_set_match_limit(context_, UINT32_MAX);
    pcre2_set_heap_limit(context_, UINT32_MAX);
  }
  ~Pattern() {
    pcre2_match_context_free(context_);
    pcre2_code_free(code_);
  }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  // Appends the ends of the matches in the piece, which is valid UTF-8, and of the text between them.
  void Split(std::string_view piece, size_t offset, pcre2_match_data* match,
             std::vector<uint32_t>& ends) const {
    const PCRE2_SIZE* found = pcre2_get_ovector_pointer(match);
    size_t pos = 0;
    while (pos < piece.size()) {
      const int rc = pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(piece.data()), piece.size(), pos,
                                 PCRE2_NO_UTF_CHECK, match, context_);
      if (rc == PCRE2_ERROR_NOMATCH) break;
      if (rc < 0) {
        throw MakeError(ErrorCode::kExhausted,
                        "splitting {} bytes of text into words failed (PCRE2 error {})", piece.size(), rc);
      }
      THRONG_DCHECK(found[1] > found[0]);
      if (found[0] > pos) ends.push_back(static_cast<uint32_t>(offset + found[0]));
      if (in_threes_) AddThrees(piece.substr(found[0], found[1] - found[0]), offset + found[0], ends);
      ends.push_back(static_cast<uint32_t>(offset + found[1]));
      pos = found[1];
    }
    if (pos < piece.size()) ends.push_back(static_cast<uint32_t>(offset + piece.size()));
  }

 private:
  // The borders within a run of digits: before each group of three that can be counted from its end.
  static void AddThrees(std::string_view run, size_t offset, std::vector<uint32_t>& ends) {
    const size_t first = ends.size();
    size_t num_chars = 0;
    for (size_t i = run.size(); i-- > 1;) {
      const bool begins = (static_cast<uint8_t>(run[i]) & 0xC0) != 0x80;
      if (begins && ++num_chars % 3 == 0) ends.push_back(static_cast<uint32_t>(offset + i));
    }
    std::reverse(ends.begin() + static_cast<std::ptrdiff_t>(first), ends.end());
  }

  bool in_threes_;
  pcre2_code* code_;
  pcre2_match_context* context_;
};

WordSplitter::WordSplitter(const PreTokenizer& pre) {
  for (const SplitStep& step : pre.steps) patterns_.push_back(std::make_unique<Pattern>(step));
}

WordSplitter::~WordSplitter() = default;

void WordSplitter::Split(std::string_view text, std::vector<uint32_t>& ends) const {
  const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
  if (match == nullptr) throw std::bad_alloc();
  std::vector<uint32_t> pieces, split;
  for (size_t pos = 0; pos < text.size();) {
    const size_t valid = ValidUtf8Prefix(text.substr(pos));
    ends.clear();
    if (valid > 0) ends.push_back(static_cast<uint32_t>(pos + valid));
    for (const auto& pattern : patterns_) {
      split.clear();
      size_t begin = pos;
      for (const uint32_t end : ends) {
        pattern->Split(text.substr(begin, end - begin), begin, match.get(), split);
        begin = end;
      }
      ends.swap(split);
    }
    pieces.insert(pieces.end(), ends.begin(), ends.end());
    pos += valid;
    if (pos < text.size()) {
      pos += NextUtf8(text.substr(pos)).length;
      pieces.push_back(static_cast<uint32_t>(pos));
    }
  }
  ends = std::move(pieces);
}

}  // namespace throng::model
