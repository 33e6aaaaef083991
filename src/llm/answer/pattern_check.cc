#define PCRE2_CODE_UNIT_WIDTH 8

#include "llm/answer/pattern_check.h"

#include <pcre2.h>

#include "base/error.h"
#include "llm/regular/regex_syntax.h"

namespace throng::llm {
namespace {

constexpr uint32_t kMatchLimit = 1'000'000;  // about 10 ms: patterns can be exponential

// The same expression in the syntax of PCRE2, whose own has other classes, escapes and anchors.
class Printer {
 public:
  explicit Printer(const RegexTree& tree) : tree_(tree) {}

  std::string Print(uint32_t node) const {
    const RegexNode& item = tree_.nodes[node];
    // A choice stands in a group without one of its own: a lookbehind may have choices of several lengths
    // only so.
    const auto around = [&](std::string_view before) {
      const RegexNode& child = tree_.nodes[item.children[0]];
      const bool is_choice = child.kind == RegexNode::Kind::kChoice;
      return fmt::format("{}{})", before, is_choice ? Children(child, "|") : Print(item.children[0]));
    };
    switch (item.kind) {
      case RegexNode::Kind::kChars:
        return Class(item.chars);
      case RegexNode::Kind::kSequence:
        return Children(item, "");
      case RegexNode::Kind::kChoice:
        return "(?:" + Children(item, "|") + ")";
      case RegexNode::Kind::kRepeat: {
        const std::string max = item.max == Grammar::kUnbounded ? "" : std::to_string(item.max);
        return fmt::format("{}{{{},{}}}{}", around("(?:"), item.min, max, item.lazy ? "?" : "");
      }
      case RegexNode::Kind::kStart:
        return "\\A";
      case RegexNode::Kind::kEnd:
        return "\\z";
      case RegexNode::Kind::kWordBorder:
        return "\\b";
      case RegexNode::Kind::kNoWordBorder:
        return "\\B";
      case RegexNode::Kind::kLookahead:
        return around("(?=");
      case RegexNode::Kind::kNotLookahead:
        return around("(?!");
      case RegexNode::Kind::kLookbehind:
        return around("(?<=");
      case RegexNode::Kind::kNotLookbehind:
        return around("(?<!");
      case RegexNode::Kind::kGroup:
        return around("(");
      case RegexNode::Kind::kBackreference:
        return fmt::format("\\g{{{}}}", item.group);
    }
    return "";
  }

 private:
  std::string Children(const RegexNode& item, std::string_view between) const {
    std::string text;
    for (const uint32_t child : item.children) {
      if (child != item.children[0]) text += between;
      text += Print(child);
    }
    return text;
  }

  static std::string Class(const CodePoints& chars) {
    const CodePoints ranges = Normalised(chars);  // without surrogates, which PCRE2 refuses
    if (ranges.empty()) return "(?!)";
    std::string text = "[";
    for (const auto& [first, last] : ranges) text += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", first, last);
    return text + "]";
  }

  const RegexTree& tree_;
};

}  // namespace

struct PatternCheck::Code {
  ~Code() {
    pcre2_code_free(code);
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
  }
  pcre2_code* code = nullptr;
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
};

PatternCheck::PatternCheck(std::string_view pattern, std::string_view where)
    : code_(std::make_unique<Code>()) {
  const RegexTree tree = ParseRegex(pattern, where);
  const std::string source = Printer(tree).Print(tree.root);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(),
                              PCRE2_UTF | PCRE2_MATCH_UNSET_BACKREF, &error, &offset, nullptr);
  if (code_->code == nullptr) {
    unsigned char message[256] = "";
    pcre2_get_error_message(error, message, sizeof(message));
    throw MakeError(ErrorCode::kUnsupported, "{} cannot be judged: {}", NameOfPattern(where, pattern),
                    reinterpret_cast<const char*>(message));
  }
  pcre2_set_match_limit(code_->context, kMatchLimit);
}

PatternCheck::~PatternCheck() = default;

bool PatternCheck::Finds(std::string_view text) const {
  return pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, code_->data,
                     code_->context) >= 0;
}

}  // namespace throng::llm
