// How a grammar is laid out as positions.
#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "llm/effort.h"
#include "llm/grammar/grammar_sizes.h"
#include "llm/grammar/program.h"
#include "llm/regular/regular.h"

namespace throng::llm {
namespace {

// Code points up to this one have the same number of bytes in UTF-8.
uint32_t LastOfLength(uint32_t code_point) {
  return code_point < 0x80 ? 0x7f : code_point < 0x800 ? 0x7ff : code_point < 0x10000 ? 0xffff : 0x10ffff;
}

// How many code points of plain text a set has.
uint32_t PlainTextIn(const CodePoints& chars) {
  uint32_t count = 0;
  for (auto [first, last] : chars) {
    first = std::max(first, 0x20u);
    if (first > last) continue;
    count += last - first + 1;
    for (const uint32_t other : {uint32_t{'"'}, uint32_t{'\\'}}) count -= first <= other && other <= last;
  }
  return count;
}

const uint32_t kPlainTextSize = PlainTextIn(Complement({}));

bool IsEscaped(uint32_t code_point) { return code_point < 0x20 || code_point == '"' || code_point == '\\'; }

}  // namespace

// Lays out positions from the end of an expression to its beginning, so that what comes next already exists.
class Program::Builder {
 public:
  Builder(const Grammar& grammar, Program& program) : grammar_(grammar), sizes_(grammar), program_(program) {}

  void LayOut() {
    for (const Kind kind : {Kind::kByte, Kind::kReturn, Kind::kByte}) Add({}, kind);  // kEnd, kReturn, kHole
    program_.entry_ = Build(grammar_.Root(), kReturn);
    for (size_t body = 0; body < program_.bodies_.size(); ++body) {
      name_ = program_.bodies_[body].name;
      const Grammar::Node node = body_nodes_[body];
      const Pos entry =
          program_.bodies_[body].is_loop ? Build(grammar_[node].children[0], kReturn) : Items(node, kReturn);
      program_.bodies_[body].entry = entry;
    }
  }

 private:
  Pos Build(Grammar::Node node, Pos next) {
    if (sizes_.IsBody(node)) return Call(BodyOf(node, false), next);
    if (!sizes_.IsSharedTail(node)) return Items(node, next);
    const uint64_t key = uint64_t{node} << 32 | next;
    if (const auto found = shared_.find(key); found != shared_.end()) return found->second;
    return shared_[key] = Items(node, next);
  }

  Pos Items(Grammar::Node node, Pos next) {
    const Grammar::Item& item = grammar_[node];
    switch (item.kind) {
      case Grammar::Kind::kBytes:
        return Literal(item.bytes, next);
      case Grammar::Kind::kStringChar:
      case Grammar::Kind::kChar: {
        std::vector<Edge> edges;
        AddChar(item.chars, item.kind == Grammar::Kind::kStringChar, next, edges);
        const Pos pos = Add(edges, Kind::kByte);
        if (PlainTextIn(item.chars) == kPlainTextSize) HasAllPlainText(pos);
        return pos;
      }
      case Grammar::Kind::kStringTexts:
      case Grammar::Kind::kTexts:
        return Texts(*item.texts, item.kind == Grammar::Kind::kStringTexts, next);
      case Grammar::Kind::kSequence:
        for (size_t i = item.children.size(); i-- > 0;) next = Build(item.children[i], next);
        return next;
      case Grammar::Kind::kChoice:
        return Choice(item, next);
      case Grammar::Kind::kRepeat:
        return sizes_.IsUnrolled(item) ? Unrolled(item, next) : Call(BodyOf(node, true), next);
      case Grammar::Kind::kRule: {
        const std::string outer = std::exchange(name_, item.bytes);
        next = Build(item.children[0], next);
        name_ = outer;
        return next;
      }
    }
    return next;
  }

  Pos Add(const std::vector<Edge>& edges, Kind kind) {
    Effort::Spend(1 + edges.size());
    CheckSize();
    program_.positions_.push_back(
        {kind, static_cast<uint32_t>(program_.edges_.size()), static_cast<uint32_t>(edges.size())});
    program_.edges_.insert(program_.edges_.end(), edges.begin(), edges.end());
    return static_cast<Pos>(program_.positions_.size() - 1);
  }

  void CheckSize() const {
    if (program_.positions_.size() < kMaxPositions && program_.edges_.size() < 4 * kMaxPositions) return;
    throw MakeError(ErrorCode::kInvalid,
                    "the constraint of an answer needs more than {} automaton states{}: make it smaller",
                    kMaxPositions, name_.empty() ? "" : fmt::format(", when it comes to {}", name_));
  }

  uint32_t BodyOf(Grammar::Node node, bool is_loop) {
    const auto [found, is_new] = bodies_.try_emplace(node, static_cast<uint32_t>(program_.bodies_.size()));
    if (!is_new) return found->second;
    const Grammar::Item& item = grammar_[node];
    Body body;
    body.is_loop = is_loop;
    body.nullable = sizes_.IsNullable(node);
    if (is_loop) {
      body.min = sizes_.IsNullable(item.children[0]) ? 0 : item.min;
      body.max = item.max;
    }
    body.name = item.kind == Grammar::Kind::kRule ? item.bytes : name_;
    program_.bodies_.push_back(std::move(body));
    body_nodes_.push_back(node);
    return found->second;
  }

  Pos Call(uint32_t body, Pos next) {
    Effort::Spend(1);
    CheckSize();
    program_.positions_.push_back({Kind::kCall, body, next});
    return static_cast<Pos>(program_.positions_.size() - 1);
  }

  Pos Fork(const std::vector<Pos>& entries) {
    if (entries.size() == 1) return entries[0];
    std::vector<Edge> edges;
    edges.reserve(entries.size());
    for (const Pos entry : entries) edges.push_back({0, 0, entry});
    return Add(edges, Kind::kFork);
  }

  Pos Literal(std::string_view bytes, Pos next) {
    for (size_t i = bytes.size(); i-- > 0;) {
      const auto byte = static_cast<uint8_t>(bytes[i]);
      next = Add({{byte, byte, next}}, Kind::kByte);
    }
    return next;
  }

  // Literals share what they begin with.
  Pos Choice(const Grammar::Item& item, Pos next) {
    std::vector<std::string_view> literals;
    std::vector<Pos> entries;
    for (const Grammar::Node child : item.children) {
      const Grammar::Item& part = grammar_[child];
      if (part.kind == Grammar::Kind::kBytes) {
        literals.push_back(part.bytes);
      } else {
        entries.push_back(Build(child, next));
      }
    }
    if (!literals.empty()) {
      std::sort(literals.begin(), literals.end());
      literals.erase(std::unique(literals.begin(), literals.end()), literals.end());
      entries.push_back(Trie(literals, 0, literals.size(), 0, next));
    }
    return Fork(entries);
  }

  // The position after the first `depth` bytes of literals[begin, end), which are sorted and share these.
  Pos Trie(const std::vector<std::string_view>& literals, size_t begin, size_t end, size_t depth, Pos next) {
    const std::string_view first = literals[begin];
    const std::string_view last = literals[end - 1];
    size_t shared = std::min(first.size(), last.size());
    shared = static_cast<size_t>(
        std::mismatch(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(shared), last.begin())
            .first -
        first.begin());
    const std::string_view prefix = first.substr(depth, shared - depth);
    if (end - begin == 1) return Literal(prefix, next);
    std::vector<Pos> entries;
    if (first.size() == shared) {
      entries.push_back(next);
      ++begin;
    }
    std::vector<Edge> edges;
    while (begin < end) {
      const auto byte = static_cast<uint8_t>(literals[begin][shared]);
      size_t stop = begin + 1;
      while (stop < end && static_cast<uint8_t>(literals[stop][shared]) == byte) ++stop;
      edges.push_back({byte, byte, Trie(literals, begin, stop, shared + 1, next)});
      begin = stop;
    }
    entries.push_back(Add(edges, Kind::kByte));
    return Literal(prefix, Fork(entries));
  }

  Pos Unrolled(const Grammar::Item& item, Pos next) {
    const Grammar::Node child = item.children[0];
    Pos entry = next;
    if (item.max == Grammar::kUnbounded) {
      const Pos loop = Add({{0, 0, next}, {0, 0, next}}, Kind::kFork);
      const Pos body = Build(child, loop);
      program_.edges_[program_.positions_[loop].first].next = body;
      entry = loop;
    } else {
      for (int64_t i = item.min; i < item.max; ++i) {
        const Pos body = Build(child, entry);
        if (body == entry) break;  // it matches only the empty text
        entry = Fork({body, next});
      }
    }
    for (int64_t i = 0; i < item.min; ++i) {
      const Pos body = Build(child, entry);
      if (body == entry) break;
      entry = body;
    }
    return entry;
  }

  // The characters of classes, each laid out once, and copied where other positions follow it.
  class CharsOf {
   public:
    CharsOf(Builder& builder, const std::vector<CodePoints>& classes, bool in_string)
        : builder_(builder), classes_(classes), in_string_(in_string), laid_(classes.size()) {}

    // As AddChar does.
    void Add(uint32_t chars, Pos next, std::vector<Edge>& first) {
      Program& program = builder_.program_;
      Laid& laid = laid_[chars];
      const bool is_first = laid.first.empty();
      if (is_first) {
        laid.next = next;
        laid.positions = laid.end_positions = static_cast<uint32_t>(program.positions_.size());
        laid.edges = static_cast<uint32_t>(program.edges_.size());
        builder_.AddChar(classes_[chars], in_string_, next, laid.first);
        laid.end_positions = static_cast<uint32_t>(program.positions_.size());
        laid.end_edges = static_cast<uint32_t>(program.edges_.size());
      }
      uint32_t shift = 0;
      if (laid.positions != laid.end_positions) {  // else all characters are single bytes
        const auto [found, is_new] = shifts_.try_emplace(uint64_t{chars} << 32 | next, 0);
        if (is_new && !is_first) found->second = Copy(laid, next);
        shift = found->second;
      }
      for (const Edge& edge : laid.first) first.push_back(Shifted(edge, laid, shift, next));
    }

   private:
    struct Laid {
      Pos next = 0;
      std::vector<Edge> first;
      // What was added to the program's positions and edges.
      uint32_t positions = 0, end_positions = 0;
      uint32_t edges = 0, end_edges = 0;
    };

    static Edge Shifted(Edge edge, const Laid& laid, uint32_t shift, Pos next) {
      edge.next = edge.next == laid.next ? next : edge.next + shift;
      return edge;
    }

    // Returns how far the copies are from what was copied.
    uint32_t Copy(const Laid& laid, Pos next) {
      Program& program = builder_.program_;
      Effort::Spend(laid.end_positions - laid.positions + laid.end_edges - laid.edges);
      builder_.CheckSize();
      const auto shift = static_cast<uint32_t>(program.positions_.size()) - laid.positions;
      const auto edge_shift = static_cast<uint32_t>(program.edges_.size()) - laid.edges;
      for (uint32_t p = laid.positions; p < laid.end_positions; ++p) {
        Position copy = program.positions_[p];
        copy.first += edge_shift;
        program.positions_.push_back(copy);
      }
      for (uint32_t e = laid.edges; e < laid.end_edges; ++e)
        program.edges_.push_back(Shifted(program.edges_[e], laid, shift, next));
      return shift;
    }

    Builder& builder_;
    const std::vector<CodePoints>& classes_;
    const bool in_string_;
    std::vector<Laid> laid_;                         // [class]
    std::unordered_map<uint64_t, uint32_t> shifts_;  // by class and the position that follows
  };

  // A position for each state.
  Pos Texts(const Regular& texts, bool in_string, Pos next) {
    std::vector<Pos> entries, bytes;
    for (const Regular::State& state : texts.States()) {
      bytes.push_back(Add({}, Kind::kByte));
      entries.push_back(state.accepts ? Fork({bytes.back(), next}) : bytes.back());
    }
    std::vector<uint32_t> text_in;  // by class
    for (const CodePoints& chars : texts.Classes()) text_in.push_back(PlainTextIn(chars));
    CharsOf chars(*this, texts.Classes(), in_string);
    std::vector<Edge> edges;
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (LeadsAllPlainTextOn(texts.States()[i], text_in)) HasAllPlainText(bytes[i]);
      edges.clear();
      for (const Regular::Edge& edge : texts.States()[i].edges)
        chars.Add(edge.chars, entries[edge.next], edges);
      Effort::Spend(edges.size());
      CheckSize();
      program_.positions_[bytes[i]].first = static_cast<uint32_t>(program_.edges_.size());
      program_.positions_[bytes[i]].number = static_cast<uint32_t>(edges.size());
      program_.edges_.insert(program_.edges_.end(), edges.begin(), edges.end());
    }
    return entries[0];
  }

  // Whether all characters of plain text lead from a state to the same others. text_in: by class, how many
  // the class has.
  static bool LeadsAllPlainTextOn(const Regular::State& state, const std::vector<uint32_t>& text_in) {
    uint64_t total = 0;
    for (const Regular::Edge& edge : state.edges) total += text_in[edge.chars];
    if (total < kPlainTextSize) return false;
    std::set<std::pair<uint32_t, uint32_t>> seen;
    std::map<uint32_t, uint32_t> text_to;  // by the next state
    for (const Regular::Edge& edge : state.edges) {
      if (text_in[edge.chars] > 0 && seen.emplace(edge.chars, edge.next).second)
        text_to[edge.next] += text_in[edge.chars];
    }
    return std::all_of(text_to.begin(), text_to.end(),
                       [](const auto& to) { return to.second == kPlainTextSize; });
  }

  void HasAllPlainText(Pos pos) {
    program_.text_.resize(std::max<size_t>(program_.text_.size(), pos + 1), PlainText::kSome);
    program_.text_[pos] = PlainText::kAll;
  }

  // Edges for the first bytes of a character, and shared positions for the bytes that follow.
  void AddChar(const CodePoints& chars, bool in_string, Pos next, std::vector<Edge>& first) {
    tails_.clear();
    std::vector<std::string> escapes;
    for (auto [low, last] : chars) {
      while (low <= last) {
        uint32_t high = std::min(last, LastOfLength(low));
        if (low >= 0x80) {
          const int length = low < 0x800 ? 2 : low < 0x10000 ? 3 : 4;
          const uint32_t lead = length == 2 ? 0xc0 : length == 3 ? 0xe0 : 0xf0;
          SplitUtf8(low, high, length - 1, lead, next, first);
        } else if (in_string && IsEscaped(low)) {
          AppendStringChar(low, escapes.emplace_back());
          high = low;
        } else {
          high = !in_string   ? high
                 : low < '"'  ? std::min(high, uint32_t{'"' - 1})
                 : low < '\\' ? std::min(high, uint32_t{'\\' - 1})
                              : high;
          first.push_back({static_cast<uint8_t>(low), static_cast<uint8_t>(high), next});
        }
        low = high + 1;
      }
    }
    if (!escapes.empty()) {
      std::sort(escapes.begin(), escapes.end());
      const std::vector<std::string_view> sorted(escapes.begin(), escapes.end());
      first.push_back({'\\', '\\', Trie(sorted, 0, sorted.size(), 1, next)});
    }
  }

  // Appends edges for the code points [low, high], which differ in their last 6 * tail + some bits; `lead` is
  // or'ed into the first byte.
  void SplitUtf8(uint32_t low, uint32_t high, int tail, uint32_t lead, Pos next, std::vector<Edge>& out) {
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
  Pos Tail(uint32_t low, uint32_t high, int tail, Pos next) {
    const auto key = std::make_tuple(low, high, tail);
    const auto found = tails_.find(key);
    if (found != tails_.end()) return found->second;
    std::vector<Edge> edges;
    SplitUtf8(low, high, tail - 1, 0x80, next, edges);
    return tails_[key] = Add(edges, Kind::kByte);
  }

  const Grammar& grammar_;
  const GrammarSizes sizes_;
  Program& program_;
  std::unordered_map<uint64_t, Pos> shared_;  // by a shared tail and the position that follows
  std::unordered_map<Grammar::Node, uint32_t> bodies_;
  std::vector<Grammar::Node> body_nodes_;                     // by body
  std::string name_;                                          // of the rule that is being laid out
  std::map<std::tuple<uint32_t, uint32_t, int>, Pos> tails_;  // tails of the character being built
};

void Program::LayOut(const Grammar& grammar) { Builder(grammar, *this).LayOut(); }

}  // namespace throng::llm
