// Words by regular expression (PCRE2).

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/ranges.h>
#include <pcre2.h>

#include <memory>
#include <new>

#include "base/check.h"
#include "base/error.h"
#include "model/tokenizer/tokenizer_encoder.h"
#include "model/tokenizer/tokenizer_utf8.h"

namespace throng::model {
namespace {

// White space is spelled out: PCRE2's \s also takes U+180E, which Unicode no longer counts as such.
#define SPACES R"(\x09-\x0D\x20\x85\xA0\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})"
#define SPACE "[" SPACES "]"
#define NOT_SPACE "[^" SPACES "]"
#define OTHER "[^" SPACES R"(\p{L}\p{N}])"  // neither space nor letter nor number
// A run of spaces leaves its last one to the word that follows.
#define RUN_OF_SPACES SPACE "+(?!" NOT_SPACE ")|" SPACE "+"

constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?)" OTHER "+|" RUN_OF_SPACES;
#define CL100K(digits)                                                                                    \
  R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})" digits "| ?" OTHER "+[\\r\\n]*|" SPACE \
  "*[\\r\\n]+|" RUN_OF_SPACES

const std::vector<PreTokenizer>& PreTokenizers() {
  static const std::vector<PreTokenizer> all = {
      {"default", {R"([\p{P}$+<=>^~|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}, false, false},
      {"gpt-2", {kGpt2}, false, false},
      {"phi-2", {kGpt2}, false, false},
      {"smollm", {R"(\p{N})", kGpt2}, false, false},
      {"llama-bpe", {CL100K("{1,3}")}, true, true},
      {"llama3", {CL100K("{1,3}")}, true, true},
      {"llama-v3", {CL100K("{1,3}")}, true, true},
      {"qwen2", {CL100K("")}, false, false},
      {"deepseek-r1-qwen", {CL100K("")}, false, false},
  };
  return all;
}

struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

}  // namespace

const PreTokenizer& FindPreTokenizer(std::string_view name) {
  if (name.empty()) name = "default";
  std::vector<std::string_view> known;
  for (const PreTokenizer& pre : PreTokenizers()) {
    if (name == pre.name) return pre;
    known.push_back(pre.name);
  }
  throw MakeError(ErrorCode::kUnsupported, "tokenizer.ggml.pre is \"{}\"; known are {}", name.substr(0, 100),
                  fmt::join(known, ", "));
}

class WordSplitter::Pattern {
 public:
  explicit Pattern(const char* source) {
    int error = 0;
    PCRE2_SIZE where = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source), PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                          &error, &where, nullptr);
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
      ends.push_back(static_cast<uint32_t>(offset + found[1]));
      pos = found[1];
    }
    if (pos < piece.size()) ends.push_back(static_cast<uint32_t>(offset + piece.size()));
  }

 private:
  pcre2_code* code_;
  pcre2_match_context* context_;
};

WordSplitter::WordSplitter(const PreTokenizer& pre) {
  for (const char* source : pre.patterns) patterns_.push_back(std::make_unique<Pattern>(source));
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
