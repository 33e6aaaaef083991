#include "llm/grammar/program.h"

#include <algorithm>
#include <map>
#include <queue>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "base/check.h"
#include "llm/regular/regular.h"

namespace throng::llm {
namespace {

constexpr int64_t kMostInlined = 12;  // positions of what is copied to each place that uses it
constexpr int kMostNested = 100;  // expressions within expressions that are laid out at once: that recurses
constexpr int64_t kMostUnrolled = 128;  // positions of a repeat that is copied instead of counted
constexpr int64_t kHuge = int64_t{1} << 40;
constexpr uint32_t kNever = ~0u;

// Code points up to this one have the same number of bytes in UTF-8.
uint32_t LastOfLength(uint32_t code_point) {
  return code_point < 0x80 ? 0x7f : code_point < 0x800 ? 0x7ff : code_point < 0x10000 ? 0xffff : 0x10ffff;
}

bool IsEscaped(uint32_t code_point) { return code_point < 0x20 || code_point == '"' || code_point == '\\'; }

}  // namespace

// Lays out positions from the end of an expression to its beginning, so that what comes next already exists.
class Program::Builder {
 public:
  Builder(const Grammar& grammar, Program& program) : grammar_(grammar), program_(program) {
    Measure();
    for (const Kind kind : {Kind::kByte, Kind::kReturn, Kind::kByte}) Add({}, kind);  // kEnd, kReturn, kHole
    program_.entry_ = Build(grammar.Root(), kReturn);
    for (size_t body = 0; body < program_.bodies_.size(); ++body) {
      name_ = program_.bodies_[body].name;
      const Grammar::Node node = body_nodes_[body];
      const Pos entry =
          program_.bodies_[body].is_loop ? Build(grammar_[node].children[0], kReturn) : Items(node, kReturn);
      program_.bodies_[body].entry = entry;
    }
  }

 private:
  // Which nodes match the empty text, how many positions they take (and what it takes to lay out those with
  // none), and which become bodies.
  void Measure() {
    const size_t size = grammar_.Size();
    nullable_.assign(size, false);
    size_.assign(size, 1);
    uses_.assign(size, 0);
    is_body_.assign(size, false);
    const std::vector<Grammar::Node> order = grammar_.Order();
    std::vector<bool> done(size);
    for (const Grammar::Node node : order) {
      done[node] = true;
      for (const Grammar::Node child : grammar_[node].children) {
        ++uses_[child];
        is_body_[child] = is_body_[child] || !done[child];  // a rule that recurses
      }
    }
    // Of recursions, what is empty shows after several rounds.
    for (bool more = true; more;) {
      more = false;
      for (const Grammar::Node node : order) {
        if (nullable_[node] || !IsNullable(node)) continue;
        nullable_[node] = more = true;
      }
    }
    std::vector<int> nested(size);
    for (const Grammar::Node node : order) {
      size_[node] = SizeOf(node);
      for (const Grammar::Node child : grammar_[node].children)
        nested[node] = std::max(nested[node], nested[child] + 1);
      const Grammar::Kind kind = grammar_[node].kind;
      if (kind != Grammar::Kind::kBytes && kind != Grammar::Kind::kRepeat) {
        const bool is_shared = uses_[node] > 1 && size_[node] > kMostInlined;
        is_body_[node] = is_body_[node] || is_shared || nested[node] > kMostNested;
      }
      if (is_body_[node]) size_[node] = 1, nested[node] = 0;
    }
  }

  bool IsNullable(Grammar::Node node) const {
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

  int64_t SizeOf(Grammar::Node node) const {
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

  static int64_t Copies(const Grammar::Item& repeat) {
    return repeat.max == Grammar::kUnbounded ? repeat.min + 1 : repeat.max;
  }
  bool IsUnrolled(const Grammar::Item& repeat) const {
    const int64_t copies = Copies(repeat);
    return copies <= 1 || copies * std::max<int64_t>(size_[repeat.children[0]], 1) <= kMostUnrolled;
  }

  Pos Build(Grammar::Node node, Pos next) {
    return is_body_[node] ? Call(BodyOf(node, false), next) : Items(node, next);
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
        return Add(edges, Kind::kByte);
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
        return IsUnrolled(item) ? Unrolled(item, next) : Call(BodyOf(node, true), next);
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
    body.nullable = nullable_[node];
    if (is_loop) {
      body.min = nullable_[item.children[0]] ? 0 : item.min;
      body.max = item.max;
    }
    body.name = item.kind == Grammar::Kind::kRule ? item.bytes : name_;
    program_.bodies_.push_back(std::move(body));
    body_nodes_.push_back(node);
    return found->second;
  }

  Pos Call(uint32_t body, Pos next) {
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

  // A position for each state.
  Pos Texts(const Regular& texts, bool in_string, Pos next) {
    std::vector<Pos> entries, bytes;
    for (const Regular::State& state : texts.States()) {
      bytes.push_back(Add({}, Kind::kByte));
      entries.push_back(state.accepts ? Fork({bytes.back(), next}) : bytes.back());
    }
    for (size_t i = 0; i < bytes.size(); ++i) {
      std::vector<Edge> edges;
      for (const Regular::Edge& edge : texts.States()[i].edges)
        AddChar(texts.Classes()[edge.chars], in_string, entries[edge.next], edges);
      program_.positions_[bytes[i]].first = static_cast<uint32_t>(program_.edges_.size());
      program_.positions_[bytes[i]].number = static_cast<uint32_t>(edges.size());
      program_.edges_.insert(program_.edges_.end(), edges.begin(), edges.end());
    }
    return entries[0];
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
  Program& program_;
  std::vector<bool> nullable_;  // by node, like those below
  std::vector<int64_t> size_;   // positions, estimated
  std::vector<uint32_t> uses_;
  std::vector<bool> is_body_;  // called, not copied
  std::unordered_map<Grammar::Node, uint32_t> bodies_;
  std::vector<Grammar::Node> body_nodes_;                     // by body
  std::string name_;                                          // of the rule that is being laid out
  std::map<std::tuple<uint32_t, uint32_t, int>, Pos> tails_;  // tails of the character being built
};

Program::Program(const Grammar& grammar, const bool* has_byte) {
  Builder builder(grammar, *this);
  if (has_byte != nullptr) KeepOnly(has_byte);
  RefuseLeftRecursion();
  FindNeeds();
}

void Program::KeepOnly(const bool* has_byte) {
  std::vector<Edge> kept;
  for (Position& position : positions_) {
    if (position.kind == Kind::kCall) continue;
    const auto first = static_cast<uint32_t>(kept.size());
    for (uint32_t e = 0; e < position.number; ++e) {
      const Edge& edge = edges_[position.first + e];
      if (position.kind == Kind::kFork) kept.push_back(edge);
      for (int byte = edge.low; byte <= edge.high && position.kind == Kind::kByte; ++byte) {
        const auto one = static_cast<uint8_t>(byte);
        if (has_byte[byte]) kept.push_back({one, one, edge.next});
      }
    }
    position.first = first;
    position.number = static_cast<uint32_t>(kept.size()) - first;
  }
  edges_ = std::move(kept);
}

void Program::RefuseLeftRecursion() const {
  // By body: those that it may call before its first byte.
  std::vector<std::vector<uint32_t>> calls(bodies_.size());
  std::vector<uint32_t> mark(positions_.size());
  std::vector<Pos> work;
  for (uint32_t body = 0; body < bodies_.size(); ++body) {
    work.assign(1, bodies_[body].entry);
    while (!work.empty()) {
      const Pos pos = work.back();
      work.pop_back();
      if (mark[pos] == body + 1) continue;
      mark[pos] = body + 1;
      const Position& at = positions_[pos];
      if (at.kind == Kind::kFork) {
        for (uint32_t e = 0; e < at.number; ++e) work.push_back(edges_[at.first + e].next);
      } else if (at.kind == Kind::kCall) {
        calls[body].push_back(at.first);
        if (bodies_[at.first].nullable) work.push_back(at.number);
      }
    }
  }
  std::vector<uint8_t> state(bodies_.size());  // 0: new, 1: on the path, 2: done
  std::vector<std::pair<uint32_t, size_t>> path;
  for (uint32_t root = 0; root < bodies_.size(); ++root) {
    if (state[root] != 0) continue;
    state[root] = 1;
    path.assign(1, {root, 0});
    while (!path.empty()) {
      auto& [body, visited] = path.back();
      if (visited == calls[body].size()) {
        state[body] = 2;
        path.pop_back();
        continue;
      }
      const uint32_t callee = calls[body][visited++];
      if (state[callee] == 1) {
        throw MakeError(ErrorCode::kUnsupported,
                        "the rule {} begins with itself, which cannot be constrained: it must begin with a "
                        "character",
                        bodies_[callee].name);
      }
      if (state[callee] != 0) continue;
      state[callee] = 1;
      path.emplace_back(callee, 0);
    }
  }
}

// The least is settled first, as in Dijkstra's algorithm: a need depends on smaller ones only.
void Program::FindNeeds() {
  std::vector<std::vector<Pos>> users(positions_.size());  // the positions whose need depends on this one's
  std::vector<std::vector<Pos>> callers(bodies_.size());
  std::vector<std::vector<uint32_t>> begun_by(positions_.size());  // bodies
  for (Pos pos = 0; pos < positions_.size(); ++pos) {
    const Position& at = positions_[pos];
    if (at.kind == Kind::kCall) {
      users[at.number].push_back(pos);
      callers[at.first].push_back(pos);
    } else {
      for (uint32_t e = 0; e < at.number; ++e) users[edges_[at.first + e].next].push_back(pos);
    }
  }
  for (uint32_t body = 0; body < bodies_.size(); ++body) begun_by[bodies_[body].entry].push_back(body);

  need_.assign(positions_.size(), kNever);
  using Settled = std::pair<uint32_t, Pos>;
  std::priority_queue<Settled, std::vector<Settled>, std::greater<>> queue;
  for (const Pos pos : {kEnd, kReturn, kHole}) queue.emplace(0, pos);
  const auto call = [&](Pos pos) {
    const Position& at = positions_[pos];
    const Body& body = bodies_[at.first];
    if (need_[at.number] == kNever) return;
    if (at.number == kReturn && !body.is_loop) {  // needs no frame
      if (need_[body.entry] != kNever || body.nullable)
        queue.emplace(body.nullable ? 0 : need_[body.entry], pos);
      return;
    }
    if (body.nullable) return queue.emplace(need_[at.number], pos), void();
    if (need_[body.entry] != kNever) queue.emplace(std::max(need_[at.number], need_[body.entry] + 1), pos);
  };
  while (!queue.empty()) {
    const auto [need, pos] = queue.top();
    queue.pop();
    if (need_[pos] != kNever) continue;
    need_[pos] = need;
    for (const Pos user : users[pos])
      positions_[user].kind == Kind::kCall ? call(user) : queue.emplace(need, user);
    for (const uint32_t body : begun_by[pos]) {
      for (const Pos caller : callers[body]) call(caller);
    }
  }
  if (need_[entry_] > kMaxDepth) {
    throw MakeError(
        ErrorCode::kInvalid, "the constraint of an answer allows no text{}",
        need_[entry_] == kNever ? " that ends" : fmt::format(" with less than {} levels", kMaxDepth));
  }
}

}  // namespace throng::llm
