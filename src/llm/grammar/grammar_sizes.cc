#include "llm/grammar/grammar_sizes.h"

#include <algorithm>

#include "llm/effort.h"
#include "llm/regular/regular.h"

namespace throng::llm {
namespace {

constexpr int64_t kMostInlined = 12;  // positions of what is copied to each place that uses it
constexpr int kMostNested = 100;  // expressions within expressions that are laid out at once: that recurses
constexpr int64_t kMostUnrolled = 128;  // positions of a repeat that is copied instead of counted
constexpr int64_t kHuge = int64_t{1} << 40;

}  // namespace

GrammarSizes::GrammarSizes(const Grammar& grammar) : grammar_(grammar) {
  const size_t size = grammar_.Size();
  nullable_.assign(size, false);
  size_.assign(size, 1);
  uses_.assign(size, 0);
  is_body_.assign(size, false);
  const std::vector<Grammar::Node> order = grammar_.Order();
  std::vector<bool> done(size);
  for (const Grammar::Node node : order) {
    for (const Grammar::Node child : grammar_[node].children) {
      ++uses_[child];
      is_body_[child] =
          is_body_[child] || !done[child];  // a rule that recurses, perhaps to nothing but itself
    }
    done[node] = true;
  }
  // Of recursions, what is empty shows after several rounds.
  for (bool more = true; more;) {
    more = false;
    Effort::Spend(order.size());
    for (const Grammar::Node node : order) {
      if (nullable_[node] || !MatchesEmpty(node)) continue;
      nullable_[node] = more = true;
    }
  }
  FindTails(order);
  std::vector<int> nested(size);
  for (const Grammar::Node node : order) {
    size_[node] = SizeOf(node);
    for (const Grammar::Node child : grammar_[node].children)
      nested[node] = std::max(nested[node], nested[child] + 1);
    const Grammar::Kind kind = grammar_[node].kind;
    if (kind != Grammar::Kind::kBytes && kind != Grammar::Kind::kRepeat) {
      const bool is_shared = uses_[node] > 1 && size_[node] > kMostInlined && tail_of_[node] == node;
      is_body_[node] = is_body_[node] || is_shared || nested[node] > kMostNested;
    }
    if (is_body_[node]) size_[node] = 1, nested[node] = 0;
  }
}

// From the root on: a part that ends two nodes, or stands within one, is the tail of itself alone.
void GrammarSizes::FindTails(const std::vector<Grammar::Node>& order) {
  constexpr Grammar::Node kNone = ~0u;
  tail_of_.assign(grammar_.Size(), kNone);
  for (size_t i = order.size(); i-- > 0;) {
    const Grammar::Node node = order[i];
    const Grammar::Item& item = grammar_[node];
    if (is_body_[node] || tail_of_[node] == kNone) tail_of_[node] = node;
    for (size_t c = 0; c < item.children.size(); ++c) {
      const Grammar::Node child = item.children[c];
      const bool is_last = item.kind == Grammar::Kind::kSequence ? c + 1 == item.children.size()
                                                                 : item.kind != Grammar::Kind::kRepeat;
      const Grammar::Node whole = is_last ? tail_of_[node] : child;
      Grammar::Node& of = tail_of_[child];
      of = of == kNone || of == whole ? whole : child;
    }
  }
}

bool GrammarSizes::MatchesEmpty(Grammar::Node node) const {
  const Grammar::Item& item = grammar_[node];
  const auto nullable = [&](Grammar::Node child) { return nullable_[child]; };
  switch (item.kind) {
    case Grammar::Kind::kBytes:
      return item.bytes.empty();
    case Grammar::Kind::kStringChar:
    case Grammar::Kind::kChar:
      return false;
    case Grammar::Kind::kStringTexts:
    case Grammar::Kind::kTexts:
      return item.texts->States()[0].accepts;
    case Grammar::Kind::kSequence:
    case Grammar::Kind::kRule:
      return std::all_of(item.children.begin(), item.children.end(), nullable);
    case Grammar::Kind::kChoice:
      return std::any_of(item.children.begin(), item.children.end(), nullable);
    case Grammar::Kind::kRepeat:
      return item.min == 0 || nullable(item.children[0]);
  }
  return false;
}

int64_t GrammarSizes::SizeOf(Grammar::Node node) const {
  const Grammar::Item& item = grammar_[node];
  int64_t size = 0;
  switch (item.kind) {
    case Grammar::Kind::kBytes:
      return static_cast<int64_t>(item.bytes.size());
    case Grammar::Kind::kStringChar:
    case Grammar::Kind::kChar:
      for (const auto& [first, last] : item.chars) {
        size += last < 0x80 ? 1 : 4;
        if (item.kind == Grammar::Kind::kStringChar && (first < 0x20 || last == '"' || last == '\\'))
          size += 4;
      }
      return std::min<int64_t>(size, 20);
    case Grammar::Kind::kStringTexts:
    case Grammar::Kind::kTexts:
      return 4 * static_cast<int64_t>(item.texts->States().size());
    case Grammar::Kind::kRepeat:
      size = size_[item.children[0]];
      return IsUnrolled(item) ? Copies(item) * size + 1 : 1;
    case Grammar::Kind::kSequence:
    case Grammar::Kind::kChoice:
    case Grammar::Kind::kRule:
      for (const Grammar::Node child : item.children) size = std::min(size + size_[child], kHuge);
      return size + 1;
  }
  return size;
}

int64_t GrammarSizes::Copies(const Grammar::Item& repeat) {
  return repeat.max == Grammar::kUnbounded ? repeat.min + 1 : repeat.max;
}
bool GrammarSizes::IsUnrolled(const Grammar::Item& repeat) const {
  const int64_t copies = Copies(repeat);
  return copies <= 1 || copies * std::max<int64_t>(size_[repeat.children[0]], 1) <= kMostUnrolled;
}

}  // namespace throng::llm
