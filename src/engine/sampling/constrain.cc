#include "engine/sampling/constrain.h"

#include <algorithm>

#include "base/error.h"

namespace throng::engine {
namespace {

using State = llm::Automaton::State;

constexpr size_t kMaxMaskWords = 8 << 20;  // 64 MiB of masks per constraint
// Limits of the search for dead ends: about a second.
constexpr size_t kMaxSteps = 200'000'000;
constexpr size_t kMaxStates = 100'000;
// Of what depends on callers, the nodes of the trie that are looked at for each mask, before an outlook of
// more levels, up to kMaxLevels, is worth a view of its own.
constexpr size_t kMaxBelow = 4096;
constexpr int kMaxLevels = 4;

}  // namespace

Constraint::Constraint(const llm::Constraint& spec, std::shared_ptr<const Vocabulary> vocabulary)
    : Constraint(llm::CompileGrammar(spec), std::move(vocabulary)) {}

Constraint::Constraint(const llm::Grammar& grammar, std::shared_ptr<const Vocabulary> vocabulary)
    : vocabulary_(std::move(vocabulary)), longest_bytes_(grammar.LongestBytes()), automaton_(grammar) {
  vocabulary_->NeedTrie();
  walk_.resize(vocabulary_->max_depth_ + 1);
  path_.resize(vocabulary_->max_depth_ + 1);
  for (int byte = 0; byte < 256; ++byte) {
    has_dead_ends_ |= automaton_.UsesByte(static_cast<uint8_t>(byte)) && !vocabulary_->has_byte_[byte];
  }
  if (has_dead_ends_ && !FindDeadEnds()) {
    // What single bytes spell has no dead ends.
    has_dead_ends_ = false;
    alive_.clear();
    automaton_ = llm::Automaton(grammar, vocabulary_->has_byte_);
  }
}

std::optional<int64_t> Constraint::LongestAnswerTokens() const {
  if (!longest_bytes_) return std::nullopt;
  return *longest_bytes_ + 1;
}

void Constraint::Drop() {
  automaton_.Clear();
  seen_.clear();
  ++generation_;
}

State Constraint::Restore(Place& place) {
  if (place.generation != generation_) {
    place.state = automaton_.After(place.text);
    place.generation = generation_;
  }
  return place.state;
}

// Calls found(node, state) for each node of [first, end) of the trie that some allowed text passes through,
// with the state after it, until it returns false. base() is the state before `first`. Returns the number of
// steps.
template <typename Base, typename Found>
size_t Constraint::Walk(const Vocabulary::Trie& trie, uint32_t first, uint32_t end, const Base& base,
                        const Found& found) {
  if (first == end) return 0;
  const Vocabulary::Node* nodes = trie.nodes.data();
  const uint32_t base_depth = nodes[first].depth - 1;
  walk_[base_depth] = base();
  size_t steps = 0;
  for (uint32_t i = first; i < end; ++steps) {
    const Vocabulary::Node& node = nodes[i];
    path_[node.depth] = node.byte;
    if (automaton_.IsFull() && !has_dead_ends_) {
      Drop();
      walk_[base_depth] = base();
      for (uint32_t depth = base_depth + 1; depth < node.depth; ++depth)
        walk_[depth] = automaton_.Next(walk_[depth - 1], path_[depth]);
    }
    const State next = automaton_.Next(walk_[node.depth - 1], node.byte);
    if (next == llm::Automaton::kDead) {
      i = node.skip;
      continue;
    }
    walk_[node.depth] = next;
    if (!found(i, next)) break;
    ++i;
  }
  return steps;
}

template <typename Base, typename Found>
size_t Constraint::WalkAll(const Base& base, const Found& found) {
  return Walk(vocabulary_->all_, 0, vocabulary_->all_.NumNodes(), base, found);
}

void Constraint::AllowedOneByOne(Place& place, std::span<uint64_t> mask) {
  std::fill(mask.begin(), mask.end(), 0);
  WalkAll([&] { return Restore(place); },
          [&](uint32_t node, State next) {
            if (IsAlive(next)) vocabulary_->all_.Allow(node, mask);
            return true;
          });
}

const Constraint::View& Constraint::ViewFrom(Place& place, int levels, bool is_text) {
  const auto outlook_from = [&] { return OutlookFrom(place, levels); };
  const llm::Automaton::Outlook outlook = outlook_from();
  std::vector<uint32_t> key = outlook.key;
  key.push_back(is_text);
  const auto cached = views_.find(key);
  if (cached != views_.end()) return *cached->second;
  if (view_words_ > kMaxMaskWords) {
    views_.clear();
    seen_.clear();
    view_words_ = 0;
  }
  auto view = std::make_unique<View>();
  view->mask.resize(vocabulary_->MaskWords());
  view->is_short = outlook.reach < vocabulary_->max_depth_;
  view->of_others = is_text;
  if (!is_text && !view->is_short) {
    const Marked marked = MarkPlainText(automaton_.WithHoles(Restore(place), outlook), view->mask);
    view->of_others = marked == Marked::kAll;
    view->is_final = marked != Marked::kReturns || levels == kMaxLevels;
  }
  const Vocabulary::Trie& trie = view->of_others ? vocabulary_->others_ : vocabulary_->all_;
  std::map<std::vector<uint32_t>, uint32_t> numbers;  // of sets of holes
  size_t below = 0;
  const Vocabulary::Node* nodes = trie.nodes.data();
  const auto walk = [&] {
    Walk(
        trie, 0, trie.NumNodes(), [&] { return automaton_.WithHoles(Restore(place), outlook_from()); },
        [&](uint32_t node, State next) {
          if (view->is_short && nodes[node].depth > Vocabulary::kShortBytes) return true;
          trie.Allow(node, view->mask);
          if (!automaton_.HasHoles(next) || nodes[node].skip == node + 1) return true;
          const auto [found, is_new] =
              numbers.try_emplace(automaton_.HolesOf(next), static_cast<uint32_t>(numbers.size()));
          if (is_new) view->holes.push_back(found->first);
          view->exits.push_back({node, found->second});
          for (uint32_t child = node + 1; child < nodes[node].skip; child = nodes[child].skip) ++below;
          view->is_final = below <= kMaxBelow || levels == kMaxLevels;
          return view->is_final;
        });
  };
  if (view->is_final) walk();
  if (!view->is_final) {
    *view = View();
    view->is_final = false;
  }
  view_words_ += view->mask.size() + view->exits.size() + key.size();
  return *views_.emplace(std::move(key), std::move(view)).first->second;
}

// Where almost any plain text may follow, and all but some of it leads to one state, as in a name that is
// none of a few: sets the bits of plain tokens, by looking at what differs alone. Sets none elsewhere, or if
// such texts return to callers: then an outlook of more levels is better.
Constraint::Marked Constraint::MarkPlainText(State base, std::span<uint64_t> mask) {
  State loop = llm::Automaton::kDead;
  for (const uint8_t byte : {'~', 'Q', 'z', '0'}) {
    const State next = automaton_.Next(base, byte);
    if (next == llm::Automaton::kDead || automaton_.PlainTextAt(next) != llm::Program::PlainText::kAll ||
        automaton_.Next(next, 'a') != next)
      continue;
    loop = next;
    break;
  }
  if (loop == llm::Automaton::kDead || automaton_.IsFull()) return Marked::kNone;
  if (automaton_.HasHoles(loop)) return Marked::kReturns;
  vocabulary_->text_.Allow(vocabulary_->text_.most, mask);
  const Vocabulary::Trie& plain = vocabulary_->plain_;
  const Vocabulary::Node* nodes = plain.nodes.data();
  walk_[0] = base;
  for (uint32_t i = 0; i < plain.NumNodes();) {
    const Vocabulary::Node& node = nodes[i];
    const State next = automaton_.Next(walk_[node.depth - 1], node.byte);
    if (next != llm::Automaton::kDead && automaton_.HasHoles(next)) {
      std::fill(mask.begin(), mask.end(), 0);
      return Marked::kReturns;
    }
    walk_[node.depth] = next;
    if (next != llm::Automaton::kDead && next != loop) {
      ++i;
      continue;
    }
    if (next == llm::Automaton::kDead) plain.Forbid(i, mask);
    i = node.skip;
  }
  return Marked::kAll;
}

// How many characters of plain text may follow, up to what a token has; nothing if none may, or if it depends
// on which they are.
std::optional<uint32_t> Constraint::MostText(Place& place) {
  State state = Restore(place);
  for (uint32_t count = 0; count < vocabulary_->text_.most; ++count) {
    const llm::Program::PlainText text = automaton_.PlainTextAt(state);
    if (text == llm::Program::PlainText::kNone && count > 0) return count;
    if (text != llm::Program::PlainText::kAll) return std::nullopt;
    const State next = automaton_.Next(state, 'a');
    if (next == state) break;
    state = next;
  }
  return vocabulary_->text_.most;
}

// As far as a token reaches; or as a short one does, if counts are near for longer ones alone: these have
// then a view in common.
llm::Automaton::Outlook Constraint::OutlookFrom(Place& place, int levels) {
  const uint32_t reach = vocabulary_->max_depth_;
  llm::Automaton::Outlook outlook = automaton_.OutlookOf(Restore(place), levels, reach);
  if (outlook.nearest <= Vocabulary::kShortBytes || outlook.nearest > reach) return outlook;
  return automaton_.OutlookOf(place.state, levels, Vocabulary::kShortBytes);
}

Constraint::Seen Constraint::SeenFrom(Place& place) {
  const auto cached = seen_.find(Restore(place));
  if (cached != seen_.end()) return cached->second;
  const std::optional<uint32_t> text = MostText(place);
  int levels = 0;
  const View* view = &ViewFrom(place, levels, text.has_value());
  while (!view->is_final) view = &ViewFrom(place, ++levels, text.has_value());
  Seen seen = {view, text, OutlookFrom(place, levels).callers};
  return seen_[place.state] = std::move(seen);
}

void Constraint::AllowedByView(Place& place, std::span<uint64_t> mask) {
  const Seen seen = SeenFrom(place);
  if (!automaton_.HasRoom(seen.callers)) return AllowedOneByOne(place, mask);
  if (seen.text) {
    vocabulary_->text_.Allow(*seen.text, mask);
    for (size_t word = 0; word < mask.size(); ++word) mask[word] |= seen.view->mask[word];
  } else {
    std::copy(seen.view->mask.begin(), seen.view->mask.end(), mask.begin());
  }
  const Vocabulary::Trie& all = seen.view->of_others ? vocabulary_->others_ : vocabulary_->all_;
  if (seen.view->is_short) {
    const Vocabulary::Trie& longer = seen.text ? vocabulary_->longer_others_ : vocabulary_->longer_;
    Walk(
        longer, 0, longer.NumNodes(), [&] { return Restore(place); },
        [&](uint32_t node, State) {
          longer.Allow(node, mask);
          return true;
        });
  }
  std::vector<std::pair<uint64_t, State>> returned(seen.view->holes.size(), {~uint64_t{0}, 0});
  for (const View::Exit& exit : seen.view->exits) {
    const auto base = [&] {
      auto& [generation, state] = returned[exit.holes];
      if (generation != generation_) {
        const Seen now = SeenFrom(place);
        std::vector<llm::Automaton::Frames> callers;
        for (const uint32_t hole : seen.view->holes[exit.holes]) callers.push_back(now.callers[hole]);
        state = automaton_.Return(callers);
        generation = generation_;
      }
      return state;
    };
    Walk(all, exit.node + 1, all.nodes[exit.node].skip, base, [&](uint32_t node, State) {
      all.Allow(node, mask);
      return true;
    });
  }
}

void Constraint::AllowedAt(Place& place, std::span<uint64_t> mask) {
  if (!has_dead_ends_) {
    AllowedByView(place, mask);
  } else {
    if (alive_masks_.size() * vocabulary_->MaskWords() > kMaxMaskWords) alive_masks_.clear();
    Mask& allowed = alive_masks_[place.state];
    if (allowed.empty()) {
      allowed.resize(mask.size());
      AllowedOneByOne(place, allowed);
    }
    std::copy(allowed.begin(), allowed.end(), mask.begin());
  }
  if (!automaton_.IsComplete(Restore(place))) return;
  for (const int32_t token : vocabulary_->eog_ids_)
    mask[static_cast<size_t>(token) / 64] |= uint64_t{1} << (token & 63);
}

// Asked after every token, and mostly in vain: the walk ends as soon as it has found two ways on.
Constraint::Forced Constraint::ForcedAt(Place& place) {
  const std::vector<int32_t>& tokens = vocabulary_->all_.tokens;
  const Vocabulary::Node* nodes = vocabulary_->all_.nodes.data();
  const bool complete = automaton_.IsComplete(Restore(place));
  size_t count = complete ? vocabulary_->eog_ids_.size() : 0;
  int32_t last = count > 0 ? vocabulary_->eog_ids_.back() : -1;
  bool bytes_are_known = !complete;
  uint32_t longest = 0;  // node
  WalkAll([&] { return Restore(place); },
          [&](uint32_t i, State next) {
            const uint32_t first = nodes[i].first_token, end = nodes[i + 1].first_token;
            if (first == end || !IsAlive(next)) return true;
            bytes_are_known &= count == 0 || i < nodes[longest].skip;
            longest = i;
            count += end - first;
            last = tokens[first];
            return count < 2 || bytes_are_known;
          });
  return {.only = count == 1 ? last : -1,
          .longest = count > 0 && bytes_are_known ? tokens[nodes[longest].first_token] : -1};
}

// Explores all states at token boundaries, and marks those from which tokens lead to a complete answer.
// Returns false if there are too many.
bool Constraint::FindDeadEnds() {
  std::vector<std::vector<State>> before;  // by state: the states from which one token leads to it
  std::vector<State> seen = {automaton_.Start()};
  std::vector<bool> is_seen = {};
  const auto grow = [&](State state) {
    const auto size = static_cast<size_t>(state) + 1;
    if (is_seen.size() < size) is_seen.resize(size);
    if (before.size() < size) before.resize(size);
  };
  grow(automaton_.Start());
  is_seen[static_cast<size_t>(automaton_.Start())] = true;
  const Vocabulary::Node* nodes = vocabulary_->all_.nodes.data();
  size_t steps = 0;
  std::vector<State> reached;
  for (size_t i = 0; i < seen.size(); ++i) {
    reached.clear();
    steps += WalkAll([&] { return seen[i]; },
                     [&](uint32_t node, State next) {
                       if (nodes[node].first_token != nodes[node + 1].first_token) reached.push_back(next);
                       return !automaton_.IsFull();
                     });
    if (steps > kMaxSteps || seen.size() > kMaxStates || automaton_.IsFull()) return false;
    std::sort(reached.begin(), reached.end());
    reached.erase(std::unique(reached.begin(), reached.end()), reached.end());
    for (const State next : reached) {
      grow(next);
      before[static_cast<size_t>(next)].push_back(seen[i]);
      if (is_seen[static_cast<size_t>(next)]) continue;
      is_seen[static_cast<size_t>(next)] = true;
      seen.push_back(next);
    }
  }
  alive_.assign(before.size(), false);
  std::vector<State> work;
  const auto revive = [&](State state) {
    if (alive_[static_cast<size_t>(state)]) return;
    alive_[static_cast<size_t>(state)] = true;
    work.push_back(state);
  };
  for (const State state : seen) {
    if (automaton_.IsComplete(state)) revive(state);
  }
  while (!work.empty()) {
    const State state = work.back();
    work.pop_back();
    for (const State from : before[static_cast<size_t>(state)]) revive(from);
  }
  if (!alive_[static_cast<size_t>(automaton_.Start())]) {
    throw MakeError(ErrorCode::kUnsupported,
                    "constraint: no sequence of the vocabulary's {} tokens spells an allowed answer",
                    vocabulary_->NumTokens());
  }
  return true;
}

}  // namespace throng::engine
