#include "llm/grammar/automaton.h"

#include <xxhash.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "base/check.h"

namespace throng::llm {
namespace {

// Deterministic states are dropped beyond this many table entries and positions (about 64 MiB).
constexpr size_t kMaxHeld = 16 << 20;

// Code points up to this one have the same number of bytes in UTF-8.
uint32_t LastOfLength(uint32_t code_point) {
  return code_point < 0x80 ? 0x7f : code_point < 0x800 ? 0x7ff : code_point < 0x10000 ? 0xffff : 0x10ffff;
}

bool IsEscaped(uint32_t code_point) { return code_point < 0x20 || code_point == '"' || code_point == '\\'; }

}  // namespace

// Lays out positions from the end of the expression to its beginning, so that what comes next already exists.
class Automaton::Builder {
 public:
  Builder(const Grammar& grammar, Automaton& automaton) : grammar_(grammar), automaton_(automaton) {}

  uint32_t Build(Grammar::Node node, uint32_t next) {
    const Grammar::Item& item = grammar_[node];
    switch (item.kind) {
      case Grammar::Kind::kBytes:
        return Literal(item.bytes, next);
      case Grammar::Kind::kStringChar:
        return StringChar(item.chars, next);
      case Grammar::Kind::kSequence:
        for (size_t i = item.children.size(); i-- > 0;) next = Build(item.children[i], next);
        return next;
      case Grammar::Kind::kChoice: {
        std::vector<uint32_t> entries;
        entries.reserve(item.children.size());
        for (const Grammar::Node child : item.children) entries.push_back(Build(child, next));
        return Fork(entries);
      }
      case Grammar::Kind::kRepeat:
        return Repeat(item, next);
    }
    return next;
  }

  uint32_t Add(const std::vector<Edge>& edges, bool epsilon) {
    if (automaton_.positions_.size() >= kMaxPositions) {
      throw MakeError(ErrorCode::kInvalid,
                      "the constraint of an answer needs more than {} automaton states: lower its maxLength, "
                      "maxItems or repeat counts",
                      kMaxPositions);
    }
    automaton_.positions_.push_back(
        {static_cast<uint32_t>(automaton_.edges_.size()), static_cast<uint32_t>(edges.size()), epsilon});
    automaton_.edges_.insert(automaton_.edges_.end(), edges.begin(), edges.end());
    return static_cast<uint32_t>(automaton_.positions_.size() - 1);
  }

 private:
  uint32_t Fork(const std::vector<uint32_t>& entries) {
    if (entries.size() == 1) return entries[0];
    std::vector<Edge> edges;
    for (const uint32_t entry : entries) edges.push_back({0, 0, entry});
    return Add(edges, true);
  }

  uint32_t Literal(std::string_view bytes, uint32_t next) {
    for (size_t i = bytes.size(); i-- > 0;) {
      const auto byte = static_cast<uint8_t>(bytes[i]);
      next = Add({{byte, byte, next}}, false);
    }
    return next;
  }

  uint32_t Repeat(const Grammar::Item& item, uint32_t next) {
    const Grammar::Node child = item.children[0];
    uint32_t entry = next;
    if (item.max == Grammar::kUnbounded) {
      const uint32_t loop = Add({{0, 0, next}, {0, 0, next}}, true);
      const uint32_t body = Build(child, loop);
      automaton_.edges_[automaton_.positions_[loop].first_edge].next = body;
      entry = loop;
    } else {
      for (int64_t i = item.min; i < item.max; ++i) {
        const uint32_t body = Build(child, entry);
        if (body == entry) break;  // it matches only the empty text
        entry = Fork({body, next});
      }
    }
    for (int64_t i = 0; i < item.min; ++i) {
      const uint32_t body = Build(child, entry);
      if (body == entry) break;
      entry = body;
    }
    return entry;
  }

  // One position with the ranges of first bytes, and shared positions for the bytes that follow.
  uint32_t StringChar(const CodePoints& chars, uint32_t next) {
    tails_.clear();
    first_.clear();
    for (auto [low, last] : chars) {
      while (low <= last) {
        uint32_t high = std::min(last, LastOfLength(low));
        if (low < 0x80) {
          if (IsEscaped(low)) {
            AppendStringChar(low, escapes_.emplace_back());
            high = low;
          } else {
            high = low < '"'    ? std::min(high, uint32_t{'"' - 1})
                   : low < '\\' ? std::min(high, uint32_t{'\\' - 1})
                                : high;
            first_.push_back({static_cast<uint8_t>(low), static_cast<uint8_t>(high), next});
          }
        } else {
          const int length = low < 0x800 ? 2 : low < 0x10000 ? 3 : 4;
          const uint32_t lead = length == 2 ? 0xc0 : length == 3 ? 0xe0 : 0xf0;
          SplitUtf8(low, high, length - 1, lead, next, first_);
        }
        low = high + 1;
      }
    }
    std::vector<Edge> edges = first_;
    if (!escapes_.empty()) edges.push_back({'\\', '\\', EscapeTail(0, escapes_.size(), 1, next)});
    escapes_.clear();
    return Add(edges, false);
  }

  // Appends edges for the code points [low, high], which differ in their last 6 * tail + some bits; `lead` is
  // or'ed into the first byte.
  void SplitUtf8(uint32_t low, uint32_t high, int tail, uint32_t lead, uint32_t next,
                 std::vector<Edge>& out) {
    if (tail == 0) {
      out.push_back({static_cast<uint8_t>(lead | low), static_cast<uint8_t>(lead | high), next});
      return;
    }
    const int shift = 6 * tail;
    const uint32_t rest = (uint32_t{1} << shift) - 1;
    while (low <= high) {
      uint32_t first = low >> shift;
      uint32_t end = std::min(high, low | rest);
      if ((low & rest) == 0 &&
          ((high + 1) >> shift) > first) {  // a run of first bytes with all continuations
        const uint32_t last = ((high + 1) >> shift) - 1;
        end = last << shift | rest;
        out.push_back({static_cast<uint8_t>(lead | first), static_cast<uint8_t>(lead | last),
                       Tail(0, rest, tail, next)});
      } else {
        const auto byte = static_cast<uint8_t>(lead | first);
        out.push_back({byte, byte, Tail(low & rest, end & rest, tail, next)});
      }
      low = end + 1;
    }
  }

  // The position that reads `tail` continuation bytes of the values [low, high].
  uint32_t Tail(uint32_t low, uint32_t high, int tail, uint32_t next) {
    const auto key = std::make_tuple(low, high, tail);
    const auto found = tails_.find(key);
    if (found != tails_.end()) return found->second;
    std::vector<Edge> edges;
    SplitUtf8(low, high, tail - 1, 0x80, next, edges);
    return tails_[key] = Add(edges, false);
  }

  // The position after the first `depth` bytes of escapes_[begin, end), which all begin with the same bytes.
  uint32_t EscapeTail(size_t begin, size_t end, size_t depth, uint32_t next) {
    std::sort(escapes_.begin() + static_cast<std::ptrdiff_t>(begin),
              escapes_.begin() + static_cast<std::ptrdiff_t>(end));
    std::vector<Edge> edges;
    for (size_t i = begin; i < end;) {
      const auto byte = static_cast<uint8_t>(escapes_[i][depth]);
      size_t stop = i + 1;
      while (stop < end && static_cast<uint8_t>(escapes_[stop][depth]) == byte) ++stop;
      const bool last = escapes_[i].size() == depth + 1;
      edges.push_back({byte, byte, last ? next : EscapeTail(i, stop, depth + 1, next)});
      i = stop;
    }
    return Add(edges, false);
  }

  const Grammar& grammar_;
  Automaton& automaton_;
  std::map<std::tuple<uint32_t, uint32_t, int>, uint32_t> tails_;  // tails of the character being built
  std::vector<Edge> first_;
  std::vector<std::string> escapes_;
};

size_t Automaton::SubsetHash::operator()(const Subset& subset) const {
  return XXH3_64bits(subset.data(), subset.size() * sizeof(uint32_t));
}

Automaton::Automaton(const Grammar& grammar) {
  Builder builder(grammar, *this);
  THRONG_CHECK(builder.Add({}, false) == kEnd);
  entry_ = builder.Build(grammar.Root(), kEnd);
  bool boundary[257] = {};  // a class of bytes begins here
  for (const Position& position : positions_) {
    if (position.epsilon) continue;
    for (uint32_t e = 0; e < position.num_edges; ++e) {
      const Edge& edge = edges_[position.first_edge + e];
      boundary[edge.low] = boundary[edge.high + 1] = true;
      for (int byte = edge.low; byte <= edge.high; ++byte) used_[byte] = true;
    }
  }
  for (int byte = 1; byte < 256; ++byte) {
    if (boundary[byte]) ++num_classes_;
    class_of_[byte] = static_cast<uint8_t>(num_classes_ - 1);
  }
  mark_.assign(positions_.size(), 0);
  ++generation_;
  Subset first;
  ++round_;
  Close(entry_, first);
  start_ = Intern(std::move(first));
}

void Automaton::Close(uint32_t position, Subset& subset) {
  stack_.assign(1, position);
  while (!stack_.empty()) {
    const uint32_t at = stack_.back();
    stack_.pop_back();
    if (mark_[at] == round_) continue;
    mark_[at] = round_;
    const Position& from = positions_[at];
    if (!from.epsilon) {
      subset.push_back(at);
      continue;
    }
    for (uint32_t e = 0; e < from.num_edges; ++e) stack_.push_back(edges_[from.first_edge + e].next);
  }
}

Automaton::State Automaton::Intern(Subset subset) {
  if (subset.empty()) return kDead;
  std::sort(subset.begin(), subset.end());
  const auto [found, is_new] = ids_.try_emplace(subset, static_cast<State>(subsets_.size()));
  if (is_new) {
    held_ += 2 * subset.size() + num_classes_ + 32;
    complete_.push_back(subset[0] == kEnd);
    subsets_.push_back(std::move(subset));
    rows_.resize(rows_.size() + num_classes_, kUnknown);
  }
  return found->second;
}

Automaton::State Automaton::Determine(State state, uint8_t byte) {
  Subset reached;
  ++round_;
  for (const uint32_t position : subsets_[static_cast<size_t>(state)]) {
    const Position& from = positions_[position];
    for (uint32_t e = 0; e < from.num_edges; ++e) {
      const Edge& edge = edges_[from.first_edge + e];
      if (edge.low <= byte && byte <= edge.high) Close(edge.next, reached);
    }
  }
  const State next = Intern(std::move(reached));
  rows_[static_cast<size_t>(state) * num_classes_ + class_of_[byte]] = next;
  return next;
}

Automaton::Saved Automaton::Save(State state) const {
  return {generation_, state, subsets_[static_cast<size_t>(state)]};
}

Automaton::State Automaton::Restore(const Saved& saved) {
  return saved.generation == generation_ ? saved.state : Intern(saved.positions);
}

bool Automaton::Trim() {
  if (held_ < kMaxHeld) return false;
  const Subset first = subsets_[static_cast<size_t>(start_)];
  ++generation_;
  held_ = 0;
  rows_.clear();
  subsets_.clear();
  complete_.clear();
  ids_.clear();
  start_ = Intern(first);
  return true;
}

bool Automaton::Matches(std::string_view text) {
  Trim();
  State state = start_;
  for (const char c : text) {
    state = Next(state, static_cast<uint8_t>(c));
    if (state == kDead) return false;
  }
  return IsComplete(state);
}

}  // namespace throng::llm
