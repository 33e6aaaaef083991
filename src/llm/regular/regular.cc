#include "llm/regular/regular.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "base/text/utf8.h"
#include "llm/effort.h"
#include "llm/regular/lists.h"

namespace throng::llm {
namespace {

constexpr size_t kMaxPartitionWork = 1 << 21;  // sets looked at: about a fifth of a second

Error TooLarge(std::string_view what) {
  return MakeError(ErrorCode::kInvalid, "{} needs more than {} automaton states or {} edges", what,
                   Regular::kMaxStates, Regular::kMaxEdges);
}

// Counts what a result holds while it is being made.
class Budget {
 public:
  explicit Budget(std::string_view what) : what_(what) {}
  void AddState() {
    Effort::Spend(1);
    if (++states_ > Regular::kMaxStates) throw TooLarge(what_);
  }
  void AddEdges(size_t count) {
    Effort::Spend(count);
    edges_ += count;
    if (edges_ > Regular::kMaxEdges) throw TooLarge(what_);
  }

 private:
  std::string_view what_;
  size_t states_ = 0;
  size_t edges_ = 0;
};

// By state: those with an edge to it.
Lists Before(const std::vector<Regular::State>& states) {
  return {states.size(), [&](const auto& add) {
            for (size_t s = 0; s < states.size(); ++s)
              for (const Regular::Edge& edge : states[s].edges) add(edge.next, static_cast<uint32_t>(s));
          }};
}

// States that are reached from the start, in that order, and from which a text can be completed.
std::vector<uint32_t> Useful(const std::vector<Regular::State>& states) {
  const Lists before = Before(states);
  std::vector<bool> completes(states.size());
  std::vector<uint32_t> stack;
  const auto complete = [&](uint32_t state) {
    if (completes[state]) return;
    completes[state] = true;
    stack.push_back(state);
  };
  for (uint32_t s = 0; s < states.size(); ++s)
    if (states[s].accepts) complete(s);
  while (!stack.empty()) {
    const uint32_t at = stack.back();
    stack.pop_back();
    for (const uint32_t state : before[at]) complete(state);
  }
  std::vector<uint32_t> useful;
  std::vector<bool> reached(states.size());
  const auto reach = [&](uint32_t state) {
    if (reached[state] || !completes[state]) return;
    reached[state] = true;
    useful.push_back(state);
  };
  if (!states.empty()) reach(0);
  for (size_t i = 0; i < useful.size(); ++i)
    for (const Regular::Edge& edge : states[useful[i]].edges) reach(edge.next);
  return useful;
}

// From each state, the characters of the shortest text that completes it. All states are useful.
std::vector<int64_t> FewestCharacters(const Regular& a) {
  const Lists before = Before(a.States());
  std::vector<int64_t> fewest(a.States().size(), -1);
  std::vector<uint32_t> queue;
  for (uint32_t s = 0; s < a.States().size(); ++s) {
    if (!a.States()[s].accepts) continue;
    fewest[s] = 0;
    queue.push_back(s);
  }
  for (size_t i = 0; i < queue.size(); ++i) {
    for (const uint32_t state : before[queue[i]]) {
      if (fewest[state] >= 0) continue;
      fewest[state] = fewest[queue[i]] + 1;
      queue.push_back(state);
    }
  }
  return fewest;
}

// The states of two automata over the classes of both.
struct Common {
  Partition partition;
  std::vector<std::vector<Regular::State>> states;  // of a and b
};

Common OverCommonClasses(const Regular& a, const Regular& b, std::string_view what) {
  std::vector<CodePoints> sets = a.Classes();
  sets.insert(sets.end(), b.Classes().begin(), b.Classes().end());
  Common common{PartitionOf(sets, what), {}};
  Budget budget(what);
  size_t first = 0;
  for (const Regular* automaton : {&a, &b}) {
    auto& states = common.states.emplace_back();
    for (const Regular::State& state : automaton->States()) {
      budget.AddState();
      Regular::State& copy = states.emplace_back(Regular::State{state.accepts, {}});
      for (const Regular::Edge& edge : state.edges) {
        const auto& parts = common.partition.parts[first + edge.chars];
        budget.AddEdges(parts.size());
        for (const uint32_t part : parts) copy.edges.push_back({part, edge.next});
      }
    }
    first += automaton->Classes().size();
  }
  return common;
}

}  // namespace

Partition PartitionOf(const std::vector<CodePoints>& sets, std::string_view what) {
  // A set begins or ends at a code point: each event toggles it.
  std::vector<std::pair<uint32_t, uint32_t>> events;
  for (size_t set = 0; set < sets.size(); ++set) {
    for (const auto& [first, last] : sets[set]) {
      events.emplace_back(first, set);
      events.emplace_back(last + 1, set);
    }
  }
  std::sort(events.begin(), events.end());
  Partition partition;
  partition.parts.resize(sets.size());
  std::set<uint32_t> active;
  std::map<std::vector<uint32_t>, uint32_t> ids;  // of classes, by the sets that they are part of
  size_t work = 0;
  for (size_t e = 0; e < events.size();) {
    const uint32_t at = events[e].first;
    for (; e < events.size() && events[e].first == at; ++e) {
      const uint32_t set = events[e].second;
      if (active.erase(set) == 0) active.insert(set);
    }
    if (active.empty()) continue;
    work += active.size();
    Effort::Spend(active.size());
    if (work > kMaxPartitionWork)
      throw MakeError(ErrorCode::kInvalid, "{} has classes of characters that overlap in too many ways",
                      what);
    const auto [found, is_new] =
        ids.try_emplace({active.begin(), active.end()}, static_cast<uint32_t>(partition.classes.size()));
    if (is_new) {
      partition.classes.emplace_back();
      for (const uint32_t set : active) partition.parts[set].push_back(found->second);
    }
    partition.classes[found->second].emplace_back(at, events[e].first - 1);
  }
  // Where other sets begin and end between them, ranges of a class can be neighbours.
  for (CodePoints& chars : partition.classes) chars = Normalised(std::move(chars));
  return partition;
}

Regular::Regular(std::vector<CodePoints> classes, std::vector<State> states) {
  Effort::Spend(states.size());
  for (const State& state : states) Effort::Spend(state.edges.size());
  const std::vector<uint32_t> useful = Useful(states);
  constexpr uint32_t kNone = ~0u;
  std::vector<uint32_t> state_ids(states.size(), kNone);
  for (size_t i = 0; i < useful.size(); ++i) state_ids[useful[i]] = static_cast<uint32_t>(i);
  std::vector<uint32_t> class_ids(classes.size(), kNone);
  for (const uint32_t old : useful) {
    State& state = states_.emplace_back(std::move(states[old]));
    std::erase_if(state.edges, [&](const Edge& edge) { return state_ids[edge.next] == kNone; });
    for (Edge& edge : state.edges) {
      uint32_t& id = class_ids[edge.chars];
      if (id == kNone) {
        id = static_cast<uint32_t>(classes_.size());
        classes_.push_back(std::move(classes[edge.chars]));
      }
      edge = {id, state_ids[edge.next]};
    }
  }
}

bool Regular::Matches(std::string_view utf8) const {
  if (Empty()) return false;
  std::vector<uint32_t> at = {0};
  for (const uint32_t c : DecodeUtf8(utf8)) {
    std::vector<uint32_t> next;
    for (const uint32_t state : at) {
      for (const Edge& edge : states_[state].edges) {
        const CodePoints& chars = classes_[edge.chars];
        const auto range = std::upper_bound(chars.begin(), chars.end(), std::make_pair(c, 0x10ffffu));
        if (range != chars.begin() && c <= std::prev(range)->second) next.push_back(edge.next);
      }
    }
    std::sort(next.begin(), next.end());
    next.erase(std::unique(next.begin(), next.end()), next.end());
    at = std::move(next);
  }
  return std::any_of(at.begin(), at.end(), [&](uint32_t state) { return states_[state].accepts; });
}

Regular Literal(std::string_view utf8) {
  std::vector<CodePoints> sets;
  for (const uint32_t c : DecodeUtf8(utf8)) sets.push_back({{c, c}});
  const Partition partition = PartitionOf(sets, utf8);
  std::vector<Regular::State> states(sets.size() + 1);
  for (uint32_t i = 0; i < sets.size(); ++i) states[i].edges = {{partition.parts[i][0], i + 1}};
  states.back().accepts = true;
  return {partition.classes, std::move(states)};
}

Regular Chars(const CodePoints& set, int64_t min, int64_t max, std::string_view what) {
  const bool bounded = max != Grammar::kUnbounded;
  const int64_t length = bounded ? max : min;
  if (length >= static_cast<int64_t>(Regular::kMaxStates)) throw TooLarge(what);
  std::vector<Regular::State> states(static_cast<size_t>(length) + 1);
  for (int64_t i = 0; i <= length; ++i) {
    states[static_cast<size_t>(i)].accepts = i >= min;
    if (i < length) states[static_cast<size_t>(i)].edges = {{0, static_cast<uint32_t>(i + 1)}};
  }
  if (!bounded) states.back().edges = {{0, static_cast<uint32_t>(length)}};
  if (!set.empty()) return {{set}, std::move(states)};
  return min == 0 ? Literal("") : Regular();
}

Regular Union(const Regular& a, const Regular& b, std::string_view what) {
  if (a.Empty()) return b;
  if (b.Empty()) return a;
  Common common = OverCommonClasses(a, b, what);
  // A start of its own, because loops lead back to those of a and b.
  std::vector<Regular::State> states(1);
  for (auto& from : common.states) {
    const auto offset = static_cast<uint32_t>(states.size());
    for (Regular::State& state : from) {
      for (Regular::Edge& edge : state.edges) edge.next += offset;
      states.push_back(std::move(state));
    }
    const Regular::State& start = states[offset];
    states[0].accepts |= start.accepts;
    states[0].edges.insert(states[0].edges.end(), start.edges.begin(), start.edges.end());
  }
  return {std::move(common.partition.classes), std::move(states)};
}

Regular Concatenation(const Regular& a, const Regular& b, std::string_view what) {
  if (a.Empty() || b.Empty()) return {};
  Common common = OverCommonClasses(a, b, what);
  std::vector<Regular::State> states = std::move(common.states[0]);
  const auto offset = static_cast<uint32_t>(states.size());
  for (Regular::State& state : common.states[1])
    for (Regular::Edge& edge : state.edges) edge.next += offset;
  const Regular::State start = common.states[1][0];
  Budget budget(what);
  for (Regular::State& state : states) {
    if (!state.accepts) continue;
    budget.AddEdges(start.edges.size());
    state.accepts = start.accepts;
    state.edges.insert(state.edges.end(), start.edges.begin(), start.edges.end());
  }
  states.insert(states.end(), common.states[1].begin(), common.states[1].end());
  return {std::move(common.partition.classes), std::move(states)};
}

Regular Intersection(const Regular& a, const Regular& b, std::string_view what) {
  if (a.Empty() || b.Empty()) return {};
  Common common = OverCommonClasses(a, b, what);
  const auto& of_a = common.states[0];
  const auto& of_b = common.states[1];
  for (auto* states : {&common.states[0], &common.states[1]}) {
    for (Regular::State& state : *states) {
      std::sort(state.edges.begin(), state.edges.end(),
                [](const auto& x, const auto& y) { return x.chars < y.chars; });
    }
  }
  Budget budget(what);
  std::vector<Regular::State> states;
  std::vector<std::pair<uint32_t, uint32_t>> pairs;
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> ids;
  const auto id_of = [&](uint32_t x, uint32_t y) {
    const auto [found, is_new] = ids.try_emplace({x, y}, static_cast<uint32_t>(pairs.size()));
    if (is_new) {
      budget.AddState();
      pairs.emplace_back(x, y);
      states.push_back({of_a[x].accepts && of_b[y].accepts, {}});
    }
    return found->second;
  };
  id_of(0, 0);
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto [x, y] = pairs[i];
    auto from_b = of_b[y].edges.begin();
    const auto end_b = of_b[y].edges.end();
    for (const Regular::Edge& edge : of_a[x].edges) {
      while (from_b != end_b && from_b->chars < edge.chars) ++from_b;
      for (auto other = from_b; other != end_b && other->chars == edge.chars; ++other) {
        budget.AddEdges(1);
        const uint32_t next = id_of(edge.next, other->next);
        states[i].edges.push_back({edge.chars, next});
      }
    }
  }
  return {std::move(common.partition.classes), std::move(states)};
}

// The states of each length: so the product with a count needs no search for pairs.
Regular WithLength(const Regular& a, int64_t min, int64_t max, std::string_view what) {
  if (a.Empty() || (min == 0 && max == Grammar::kUnbounded)) return a;
  const bool is_bounded = max != Grammar::kUnbounded;
  const int64_t last = is_bounded ? max : min;  // of more characters, all is the same without a bound
  if (last >= static_cast<int64_t>(Regular::kMaxStates)) throw TooLarge(what);
  const std::vector<int64_t> least = FewestCharacters(a);
  constexpr uint32_t kNone = ~0u;
  Budget budget(what);
  std::vector<Regular::State> states;
  // Those of one length: a's states in the order in which they are reached, and their numbers in `states`.
  struct Level {
    std::vector<uint32_t> reached;
    std::vector<uint32_t> ids;
  };
  Level here{{}, std::vector<uint32_t>(a.States().size(), kNone)};
  Level after = here;
  const auto id_of = [&](uint32_t state, int64_t length, Level& level) {
    uint32_t& id = level.ids[state];
    if (id == kNone) {
      budget.AddState();
      id = static_cast<uint32_t>(states.size());
      states.push_back({a.States()[state].accepts && length >= min, {}});
      level.reached.push_back(state);
    }
    return id;
  };
  id_of(0, 0, here);
  for (int64_t length = 0; length <= last && !here.reached.empty(); ++length) {
    const bool loops = length == last;
    if (loops && is_bounded) break;
    Level& to = loops ? here : after;
    for (size_t i = 0; i < here.reached.size(); ++i) {
      const uint32_t from = here.reached[i];
      std::vector<Regular::Edge> edges;
      edges.reserve(a.States()[from].edges.size());
      for (const Regular::Edge& edge : a.States()[from].edges) {
        if (is_bounded && length + 1 + least[edge.next] > max) continue;
        edges.push_back({edge.chars, id_of(edge.next, loops ? length : length + 1, to)});
      }
      budget.AddEdges(edges.size());
      states[here.ids[from]].edges = std::move(edges);
    }
    if (loops) break;
    for (const uint32_t state : here.reached) here.ids[state] = kNone;
    here.reached.clear();
    std::swap(here, after);
  }
  return {a.Classes(), std::move(states)};
}

std::optional<Run> AsRun(const Regular& a) {
  // States in the order in which they are reached, each with all its edges to one other.
  const auto& states = a.States();
  CodePoints set;
  int64_t min = -1;
  for (size_t s = 0; s < states.size(); ++s) {
    if (states[s].accepts != (min >= 0)) {
      if (min >= 0) return std::nullopt;
      min = static_cast<int64_t>(s);
    }
    const auto& edges = states[s].edges;
    if (edges.empty()) {
      if (s + 1 != states.size()) return std::nullopt;
      return Run{set, min, static_cast<int64_t>(s)};
    }
    const bool loops = s + 1 == states.size();
    CodePoints chars;
    for (const Regular::Edge& edge : edges) {
      if (edge.next != (loops ? s : s + 1)) return std::nullopt;
      const CodePoints& part = a.Classes()[edge.chars];
      chars.insert(chars.end(), part.begin(), part.end());
    }
    chars = Normalised(std::move(chars));
    if (s == 0) set = chars;
    if (set != chars) return std::nullopt;
  }
  if (min < 0) return std::nullopt;
  return Run{set, min, Grammar::kUnbounded};
}

std::vector<uint32_t> DecodeUtf8(std::string_view utf8) {
  constexpr uint32_t kReplacement = 0xfffd;
  std::vector<uint32_t> out;
  for (size_t i = 0; i < utf8.size();) {
    const Utf8Step step = NextUtf8(utf8.substr(i));
    out.push_back(step.kind == Utf8Step::kValid ? uint32_t{step.value} : kReplacement);
    i += step.length;
  }
  return out;
}

}  // namespace throng::llm
