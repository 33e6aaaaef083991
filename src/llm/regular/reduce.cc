// Determinisation, minimisation and complement of automata.
#include <xxhash.h>

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "llm/effort.h"
#include "llm/regular/lists.h"
#include "llm/regular/regular.h"

namespace throng::llm {
namespace {

constexpr size_t kMaxWork = 1 << 22;  // edges looked at by the subset construction: about 0.1 s
constexpr size_t kAlwaysFine = 1024;  // a deterministic automaton may have this many states, and ...
constexpr size_t kGrowth = 4;         // ... this many times those of the other

Error TooLarge(std::string_view what) {
  return MakeError(ErrorCode::kInvalid, "{} needs too many automaton states when it is made deterministic",
                   what);
}

using Subset = std::vector<uint32_t>;
struct SubsetHash {
  size_t operator()(const Subset& subset) const {
    return XXH3_64bits(subset.data(), subset.size() * sizeof(uint32_t));
  }
};

// The subset construction, where it is needed; nothing if it takes more than max_states or kMaxWork.
std::optional<std::vector<Regular::State>> Determinised(const Regular& a, size_t max_states) {
  if (IsDeterministic(a)) return a.States();
  std::vector<Regular::State> states;
  std::vector<Subset> subsets;
  std::unordered_map<Subset, uint32_t, SubsetHash> ids;
  const auto id_of = [&](Subset subset) {
    const auto [found, is_new] = ids.try_emplace(subset, static_cast<uint32_t>(subsets.size()));
    if (is_new) {
      const bool accepts =
          std::any_of(subset.begin(), subset.end(), [&](uint32_t s) { return a.States()[s].accepts; });
      states.push_back({accepts, {}});
      subsets.push_back(std::move(subset));
    }
    return found->second;
  };
  if (!a.Empty()) id_of({0});
  std::vector<Subset> reached(a.Classes().size());
  std::vector<uint32_t> used;  // the classes with a set in `reached`
  size_t work = 0;
  for (size_t i = 0; i < subsets.size(); ++i) {
    const size_t before = work;
    used.clear();
    for (const uint32_t state : subsets[i]) {
      for (const Regular::Edge& edge : a.States()[state].edges) {
        Subset& targets = reached[edge.chars];
        if (targets.empty()) used.push_back(edge.chars);
        targets.push_back(edge.next);
        ++work;
      }
    }
    for (const uint32_t chars : used) {
      Subset& targets = reached[chars];
      std::sort(targets.begin(), targets.end());
      targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
      const uint32_t next = id_of(std::move(targets));
      states[i].edges.push_back({chars, next});
      targets.clear();
    }
    work += subsets[i].size();
    Effort::Spend(work - before);
    if (work > kMaxWork || subsets.size() > max_states) return std::nullopt;
  }
  return states;
}

// Elements in blocks; marked elements are split off from the others of their block.
class Blocks {
 public:
  explicit Blocks(size_t num_elements) : elements_(num_elements), place_(num_elements), block_(num_elements) {
    std::iota(elements_.begin(), elements_.end(), 0u);
    std::iota(place_.begin(), place_.end(), 0u);
    if (num_elements > 0) ranges_.push_back({0, static_cast<uint32_t>(num_elements), 0});
  }

  uint32_t Count() const { return static_cast<uint32_t>(ranges_.size()); }
  uint32_t BlockOf(uint32_t element) const { return block_[element]; }
  std::vector<uint32_t> Members(uint32_t block) const {
    const Range& range = ranges_[block];
    return {elements_.begin() + range.begin, elements_.begin() + range.end};
  }

  void Mark(uint32_t element) {
    Range& range = ranges_[block_[element]];
    const uint32_t to = range.begin + range.marked;
    const uint32_t from = place_[element];
    if (from < to) return;  // marked already
    if (range.marked++ == 0) touched_.push_back(block_[element]);
    std::swap(elements_[from], elements_[to]);
    place_[elements_[from]] = from;
    place_[element] = to;
  }

  // The smaller part of each block becomes a new block.
  void Split() {
    for (const uint32_t block : touched_) {
      Range& range = ranges_[block];
      const uint32_t middle = range.begin + range.marked;
      const uint32_t marked = range.marked;
      range.marked = 0;
      if (middle == range.end) continue;
      Range added{range.begin, middle, 0};
      if (marked <= range.end - middle) {
        range.begin = middle;
      } else {
        added = {middle, range.end, 0};
        range.end = middle;
      }
      for (uint32_t i = added.begin; i < added.end; ++i) block_[elements_[i]] = Count();
      ranges_.push_back(added);
    }
    touched_.clear();
  }

 private:
  struct Range {
    uint32_t begin, end;  // in elements_; the marked ones come first
    uint32_t marked;
  };
  std::vector<uint32_t> elements_;
  std::vector<uint32_t> place_;  // of each element in elements_
  std::vector<uint32_t> block_;  // of each element
  std::vector<Range> ranges_;    // of each block
  std::vector<uint32_t> touched_;
};

// A. Valmari, "Fast brief practical DFA minimization", 2012: blocks of states and blocks of edges refine each
// other, in O(edges log states). All states must be useful.
std::vector<Regular::State> Minimised(const std::vector<Regular::State>& states, size_t num_classes) {
  if (states.empty()) return {};
  struct Edge {
    uint32_t from, chars, to;
  };
  std::vector<Edge> edges;
  for (uint32_t s = 0; s < states.size(); ++s)
    for (const Regular::Edge& edge : states[s].edges) edges.push_back({s, edge.chars, edge.next});
  const Lists with_class(num_classes, [&](const auto& add) {
    for (uint32_t id = 0; id < edges.size(); ++id) add(edges[id].chars, id);
  });
  const Lists into(states.size(), [&](const auto& add) {
    for (uint32_t id = 0; id < edges.size(); ++id) add(edges[id].to, id);
  });
  Blocks of_states(states.size());
  for (uint32_t s = 0; s < states.size(); ++s)
    if (states[s].accepts) of_states.Mark(s);
  of_states.Split();
  Blocks of_edges(edges.size());
  for (uint32_t chars = 0; chars < num_classes; ++chars) {
    for (const uint32_t id : with_class[chars]) of_edges.Mark(id);
    of_edges.Split();
  }
  uint32_t state_block = 1;  // the first block need not refine: the others do
  for (uint32_t edge_block = 0; edge_block < of_edges.Count(); ++edge_block) {
    for (const uint32_t id : of_edges.Members(edge_block)) of_states.Mark(edges[id].from);
    of_states.Split();
    for (; state_block < of_states.Count(); ++state_block) {
      for (const uint32_t state : of_states.Members(state_block))
        for (const uint32_t id : into[state]) of_edges.Mark(id);
      of_edges.Split();
    }
  }

  // One state for each block, the start's first.
  const uint32_t start = of_states.BlockOf(0);
  const auto id_of = [&](uint32_t state) {
    const uint32_t block = of_states.BlockOf(state);
    return block == start ? 0 : block == 0 ? start : block;
  };
  std::vector<Regular::State> merged(of_states.Count());
  std::vector<bool> done(merged.size());
  for (uint32_t s = 0; s < states.size(); ++s) {
    const uint32_t id = id_of(s);
    if (done[id]) continue;
    done[id] = true;
    merged[id] = states[s];
    for (Regular::Edge& edge : merged[id].edges) edge.next = id_of(edge.next);
  }
  return merged;
}

}  // namespace

bool IsDeterministic(const Regular& a) {
  std::vector<size_t> used(a.Classes().size(),
                           a.States().size());  // [class]: the last state with an edge for it
  for (size_t s = 0; s < a.States().size(); ++s) {
    for (const Regular::Edge& edge : a.States()[s].edges)
      if (std::exchange(used[edge.chars], s) == s) return false;
  }
  return true;
}

Regular Reduced(const Regular& a) {
  if (a.Empty()) return a;
  auto states = Determinised(a, std::max(kAlwaysFine, kGrowth * a.States().size()));
  if (!states) return a;
  return {a.Classes(), Minimised(*states, a.Classes().size())};
}

Regular Deterministic(const Regular& a, std::string_view what) {
  auto states = Determinised(a, Regular::kMaxStates);
  if (!states) throw TooLarge(what);
  return {a.Classes(), Minimised(*states, a.Classes().size())};
}

Regular Complement(const Regular& a, std::string_view what) {
  const Regular from = Deterministic(a, what);
  std::vector<CodePoints> classes = from.Classes();
  CodePoints all;
  for (const CodePoints& chars : classes) all.insert(all.end(), chars.begin(), chars.end());
  const CodePoints others = Complement(Normalised(std::move(all)));
  if (!others.empty()) classes.push_back(others);

  std::vector<Regular::State> states = from.States();
  if ((states.size() + 1) * classes.size() > Regular::kMaxEdges) throw TooLarge(what);
  Effort::Spend((states.size() + 1) * classes.size());
  const auto rest = static_cast<uint32_t>(states.size());  // where the texts go that `a` has no edge for
  states.emplace_back();
  for (Regular::State& state : states) {
    state.accepts = !state.accepts;
    std::vector<bool> has(classes.size());
    for (const Regular::Edge& edge : state.edges) has[edge.chars] = true;
    for (uint32_t c = 0; c < classes.size(); ++c)
      if (!has[c]) state.edges.push_back({c, rest});
  }
  return Deterministic({std::move(classes), std::move(states)}, what);
}

}  // namespace throng::llm
