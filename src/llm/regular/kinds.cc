#include "llm/regular/kinds.h"

#include <xxhash.h>

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "llm/effort.h"

namespace throng::llm {
namespace {

constexpr uint32_t kNone = ~0u;

// A deterministic automaton over the classes of several.
struct Table {
  std::vector<std::vector<uint32_t>> next;  // [state][class]: a state, or kNone
  std::vector<bool> accepts;
};

// Where a text is in some of the languages: their numbers and states. Of those that are not listed, it is no
// beginning.
using Places = std::vector<std::pair<uint32_t, uint32_t>>;
struct PlacesHash {
  size_t operator()(const Places& places) const {
    return XXH3_64bits(places.data(), places.size() * sizeof(places[0]));
  }
};

// Follows the texts of `all` through all languages at once.
class Divider {
 public:
  Divider(const Regular& all, const std::vector<Regular>& languages, std::string_view what)
      : num_languages_(languages.size()), what_(what) {
    std::vector<Regular> automata = {Deterministic(all, what)};
    for (const Regular& one : languages) automata.push_back(Deterministic(one, what));
    std::vector<CodePoints> sets;
    for (const Regular& one : automata) sets.insert(sets.end(), one.Classes().begin(), one.Classes().end());
    Partition partition = PartitionOf(sets, what);
    size_t first_set = 0, size = 0;
    for (const Regular& one : automata) {
      Table& table = tables_.emplace_back();
      size += one.States().size() * partition.classes.size();
      Effort::Spend(one.States().size() * partition.classes.size() / 16);
      if (size > kMaxTables) ThrowTooLarge();
      table.next.assign(one.States().size(), std::vector<uint32_t>(partition.classes.size(), kNone));
      for (size_t s = 0; s < one.States().size(); ++s) {
        table.accepts.push_back(one.States()[s].accepts);
        for (const Regular::Edge& edge : one.States()[s].edges)
          for (const uint32_t part : partition.parts[first_set + edge.chars]) table.next[s][part] = edge.next;
      }
      first_set += one.Classes().size();
    }
    classes_ = std::move(partition.classes);
  }

  std::vector<KindOfText> Kinds(size_t max_kinds) && {
    Explore();
    std::map<std::vector<bool>, std::vector<uint32_t>> accepting;  // states, by kind
    for (uint32_t s = 0; s < places_.size(); ++s) {
      const auto in = LanguagesAt(s);
      if (in) accepting[*in].push_back(s);
      if (accepting.size() > max_kinds)
        throw MakeError(ErrorCode::kInvalid, "{} has more than {} kinds of texts", what_, max_kinds);
    }
    std::vector<KindOfText> kinds;
    for (const auto& [in, states] : accepting) kinds.push_back({in, TextsInto(states)});
    return kinds;
  }

 private:
  static constexpr size_t kMaxTables = 1 << 24;  // entries: 64 MiB

  [[noreturn]] void ThrowTooLarge() const {
    throw MakeError(ErrorCode::kInvalid, "{} needs more than {} automaton states or {} edges", what_,
                    Regular::kMaxStates, Regular::kMaxEdges);
  }

  void Explore() {
    if (tables_[0].next.empty()) return;  // no text
    Places start;
    for (uint32_t i = 0; i < tables_.size(); ++i)
      if (!tables_[i].next.empty()) start.emplace_back(i, 0);
    Reach(std::move(start));
    for (size_t s = 0; s < places_.size(); ++s) {
      const Places from = places_[s];
      const std::vector<uint32_t>& of_all = tables_[0].next[from[0].second];
      for (uint32_t chars = 0; chars < classes_.size(); ++chars) {
        if (of_all[chars] == kNone) continue;
        Places to;
        for (const auto& [i, state] : from) {
          const uint32_t next = tables_[i].next[state][chars];
          if (next != kNone) to.emplace_back(i, next);
        }
        Effort::Spend(1 + from.size() / 4);
        if (++num_edges_ > Regular::kMaxEdges) ThrowTooLarge();
        const uint32_t next = Reach(std::move(to));
        edges_[s].push_back({chars, next});
        before_[next].push_back(static_cast<uint32_t>(s));
      }
    }
  }

  uint32_t Reach(Places places) {
    const auto [found, is_new] = ids_.try_emplace(std::move(places), static_cast<uint32_t>(places_.size()));
    if (is_new) {
      if (places_.size() >= Regular::kMaxStates) ThrowTooLarge();
      places_.push_back(found->first);
      edges_.emplace_back();
      before_.emplace_back();
    }
    return found->second;
  }

  // Nothing where a text of `all` does not end.
  std::optional<std::vector<bool>> LanguagesAt(uint32_t s) const {
    std::vector<bool> in(num_languages_);
    bool ends = false;
    for (const auto& [i, state] : places_[s]) {
      if (!tables_[i].accepts[state]) continue;
      if (i == 0) ends = true;
      if (i > 0) in[i - 1] = true;
    }
    return ends ? std::optional(in) : std::nullopt;
  }

  // The texts that end in one of some states: of the others, only those on the way are copied.
  Regular TextsInto(const std::vector<uint32_t>& ends) {
    std::vector<uint32_t> ids(places_.size(), kNone);
    std::vector<uint32_t> on_way;
    const auto add = [&](uint32_t s) {
      if (std::exchange(ids[s], 0) == kNone) on_way.push_back(s);
    };
    for (const uint32_t s : ends) add(s);
    for (size_t i = 0; i < on_way.size(); ++i)
      for (const uint32_t s : before_[on_way[i]]) add(s);
    std::sort(on_way.begin(), on_way.end());  // the start stays the first
    for (uint32_t i = 0; i < on_way.size(); ++i) ids[on_way[i]] = i;
    std::vector<Regular::State> states(on_way.size());
    for (size_t i = 0; i < on_way.size(); ++i) {
      for (const Regular::Edge& edge : edges_[on_way[i]])
        if (ids[edge.next] != kNone) states[i].edges.push_back({edge.chars, ids[edge.next]});
      Effort::Spend(1 + states[i].edges.size());
    }
    for (const uint32_t s : ends) states[ids[s]].accepts = true;
    return Deterministic({classes_, std::move(states)}, what_);
  }

  const size_t num_languages_;
  const std::string_view what_;
  std::vector<Table> tables_;  // of `all`, then of the languages
  std::vector<CodePoints> classes_;
  std::unordered_map<Places, uint32_t, PlacesHash> ids_;
  std::vector<Places> places_;  // by state
  std::vector<std::vector<Regular::Edge>> edges_;
  std::vector<std::vector<uint32_t>> before_;
  size_t num_edges_ = 0;
};

}  // namespace

std::vector<KindOfText> KindsOf(const Regular& all, const std::vector<Regular>& languages, size_t max_kinds,
                                std::string_view what) {
  return Divider(all, languages, what).Kinds(max_kinds);
}

}  // namespace throng::llm
