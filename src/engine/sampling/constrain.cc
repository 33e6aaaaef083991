#include "engine/sampling/constrain.h"

#include <algorithm>

#include "base/check.h"

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
constexpr size_t kMaxTokenBytes = 1 << 16;

std::string KeyOf(const llm::Constraint& spec) {
  if (!spec.json_schema.empty()) return "s" + spec.json_schema;
  if (!spec.grammar.empty()) return "g" + spec.grammar;
  if (!spec.regex.empty()) return "r" + spec.regex;
  std::string key = "c";
  for (const std::string& choice : spec.choices) key += fmt::format("{}:{}", choice.size(), choice);
  return key;
}

}  // namespace

Vocabulary::Vocabulary(std::span<const std::string> bytes, std::vector<int32_t> eog_ids)
    : token_bytes_(bytes.begin(), bytes.end()), eog_ids_(std::move(eog_ids)) {
  std::sort(eog_ids_.begin(), eog_ids_.end());
  eog_ids_.erase(std::unique(eog_ids_.begin(), eog_ids_.end()), eog_ids_.end());
  for (const int32_t id : eog_ids_) {
    if (id < 0 || static_cast<size_t>(id) >= bytes.size()) {
      throw MakeError(ErrorCode::kInvalid,
                      "vocabulary: the end-of-generation token {} is not among {} tokens", id, bytes.size());
    }
  }
}

bool Vocabulary::IsEndOfGeneration(int32_t token) const {
  return std::binary_search(eog_ids_.begin(), eog_ids_.end(), token);
}

void Vocabulary::NeedTrie() const {
  std::call_once(trie_once_, [this] {
    all_ = MakeTrie(1);
    longer_ = MakeTrie(kShortBytes + 1);
    for (const int32_t token : all_.tokens) {
      const std::string& text = Bytes(token);
      if (text.size() == 1) has_byte_[static_cast<uint8_t>(text[0])] = true;
      max_depth_ = std::max(max_depth_, static_cast<uint32_t>(text.size()));
    }
  });
}

// Of the tokens with at least that many bytes.
Vocabulary::Trie Vocabulary::MakeTrie(size_t least_bytes) const {
  Trie trie;
  std::vector<int32_t>& sorted_tokens = trie.tokens;
  std::vector<Node>& nodes = trie.nodes;
  for (size_t token = 0; token < token_bytes_.size(); ++token) {
    const std::string& text = token_bytes_[token];
    if (text.size() < least_bytes || text.size() > kMaxTokenBytes ||
        IsEndOfGeneration(static_cast<int32_t>(token)))
      continue;
    sorted_tokens.push_back(static_cast<int32_t>(token));
  }
  std::sort(sorted_tokens.begin(), sorted_tokens.end(), [&](int32_t a, int32_t b) {
    const int order = Bytes(a).compare(Bytes(b));
    return order != 0 ? order < 0 : a < b;
  });
  std::vector<uint32_t> open;  // the nodes on the path to the previous token
  const auto close = [&](size_t depth) {
    for (; open.size() > depth; open.pop_back())
      nodes[open.back()].skip = static_cast<uint32_t>(nodes.size());
  };
  const std::string* previous = nullptr;
  for (size_t i = 0; i < sorted_tokens.size(); ++i) {
    const std::string& text = Bytes(sorted_tokens[i]);
    size_t shared = 0;
    if (previous != nullptr) {
      shared = static_cast<size_t>(
          std::mismatch(text.begin(), text.end(), previous->begin(), previous->end()).first - text.begin());
    }
    if (shared == text.size() && previous != nullptr && previous->size() == text.size())
      continue;  // the same bytes
    close(shared);
    for (size_t depth = shared + 1; depth <= text.size(); ++depth) {
      open.push_back(static_cast<uint32_t>(nodes.size()));
      nodes.push_back(
          {0, static_cast<uint32_t>(i), static_cast<uint32_t>(depth), static_cast<uint8_t>(text[depth - 1])});
    }
    previous = &text;
  }
  close(0);
  const auto end = static_cast<uint32_t>(nodes.size());
  nodes.push_back({end, static_cast<uint32_t>(sorted_tokens.size()), 0, 0});
  return trie;
}

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

const Constraint::View& Constraint::ViewFrom(Place& place, int levels) {
  const auto outlook_from = [&] { return OutlookFrom(place, levels); };
  const llm::Automaton::Outlook outlook = outlook_from();
  std::vector<uint32_t> key = outlook.key;
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
  std::map<std::vector<uint32_t>, uint32_t> numbers;  // of sets of holes
  size_t below = 0;
  const Vocabulary::Node* nodes = vocabulary_->all_.nodes.data();
  WalkAll([&] { return automaton_.WithHoles(Restore(place), outlook_from()); },
          [&](uint32_t node, State next) {
            if (view->is_short && nodes[node].depth > Vocabulary::kShortBytes) return true;
            vocabulary_->all_.Allow(node, view->mask);
            if (!automaton_.HasHoles(next) || nodes[node].skip == node + 1) return true;
            const auto [found, is_new] =
                numbers.try_emplace(automaton_.HolesOf(next), static_cast<uint32_t>(numbers.size()));
            if (is_new) view->holes.push_back(found->first);
            view->exits.push_back({node, found->second});
            for (uint32_t child = node + 1; child < nodes[node].skip; child = nodes[child].skip) ++below;
            view->is_final = below <= kMaxBelow || levels == kMaxLevels;
            return view->is_final;
          });
  if (!view->is_final) {
    *view = View();
    view->is_final = false;
  }
  view_words_ += view->mask.size() + view->exits.size() + key.size();
  return *views_.emplace(std::move(key), std::move(view)).first->second;
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
  int levels = 0;
  const View* view = &ViewFrom(place, levels);
  while (!view->is_final) view = &ViewFrom(place, ++levels);
  Seen seen = {view, OutlookFrom(place, levels).callers};
  return seen_[place.state] = std::move(seen);
}

void Constraint::AllowedByView(Place& place, std::span<uint64_t> mask) {
  const Seen seen = SeenFrom(place);
  if (!automaton_.HasRoom(seen.callers)) return AllowedOneByOne(place, mask);
  std::copy(seen.view->mask.begin(), seen.view->mask.end(), mask.begin());
  const Vocabulary::Trie& all = vocabulary_->all_;
  if (seen.view->is_short) {
    const Vocabulary::Trie& longer = vocabulary_->longer_;
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

Matcher::Matcher(std::shared_ptr<Constraint> constraint) : constraint_(std::move(constraint)) {
  const std::lock_guard lock(constraint_->mutex_);
  Enter(constraint_->automaton_.Start());
}

void Matcher::Enter(State state) {
  const llm::Automaton& automaton = constraint_->automaton_;
  place_.generation = constraint_->generation_;
  place_.state = state;
  complete_ = automaton.IsComplete(state);
  only_end_ = complete_ && !automaton.HasNext(state);
}

Constraint::Forced Matcher::Forced() {
  if (finished_) return {};
  const std::lock_guard lock(constraint_->mutex_);
  return constraint_->ForcedAt(place_);
}

void Matcher::AllowedTokens(std::span<uint64_t> mask) {
  THRONG_CHECK(mask.size() == constraint_->vocabulary_->MaskWords());
  if (finished_) {
    std::fill(mask.begin(), mask.end(), 0);
    return;
  }
  const std::lock_guard lock(constraint_->mutex_);
  constraint_->AllowedAt(place_, mask);
}

std::optional<int32_t> Matcher::OnlyToken() {
  const int32_t token = Forced().only;
  return token < 0 ? std::nullopt : std::optional(token);
}

std::optional<int32_t> Matcher::LongestToken() {
  const int32_t token = Forced().longest;
  return token < 0 ? std::nullopt : std::optional(token);
}

State Matcher::After(int32_t token) {
  const std::string& bytes = constraint_->vocabulary_->Bytes(token);
  if (bytes.empty() || bytes.size() > kMaxTokenBytes) return llm::Automaton::kDead;
  // With dead ends, all states that can be reached were explored: keep them.
  if (constraint_->automaton_.IsFull() && !constraint_->has_dead_ends_) constraint_->Drop();
  State state = constraint_->Restore(place_);
  for (const char byte : bytes) {
    state = constraint_->automaton_.Next(state, static_cast<uint8_t>(byte));
    if (state == llm::Automaton::kDead) return state;
  }
  return constraint_->IsAlive(state) ? state : llm::Automaton::kDead;
}

bool Matcher::Allows(int32_t token) {
  const Vocabulary& vocabulary = *constraint_->vocabulary_;
  if (finished_ || token < 0 || static_cast<size_t>(token) >= vocabulary.NumTokens()) return false;
  if (vocabulary.IsEndOfGeneration(token)) return complete_;
  const std::lock_guard lock(constraint_->mutex_);
  return After(token) != llm::Automaton::kDead;
}

bool Matcher::Accept(int32_t token) {
  const Vocabulary& vocabulary = *constraint_->vocabulary_;
  if (finished_ || token < 0 || static_cast<size_t>(token) >= vocabulary.NumTokens()) return false;
  if (vocabulary.IsEndOfGeneration(token)) {
    finished_ = complete_;
    return complete_;
  }
  const std::lock_guard lock(constraint_->mutex_);
  const State state = After(token);
  if (state == llm::Automaton::kDead) return false;
  place_.text += vocabulary.Bytes(token);
  Enter(state);
  return true;
}

ConstraintCache::ConstraintCache(std::shared_ptr<const Vocabulary> vocabulary, size_t capacity)
    : vocabulary_(std::move(vocabulary)), capacity_(std::max<size_t>(capacity, 1)) {}

std::shared_ptr<Constraint> ConstraintCache::Get(const llm::Constraint& spec) {
  return Get(KeyOf(spec), [&] { return llm::CompileGrammar(spec); });
}

std::shared_ptr<Constraint> ConstraintCache::Get(const std::string& key,
                                                 const std::function<llm::Grammar()>& make) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  if (found != entries_.end()) {
    recent_.splice(recent_.begin(), recent_, found->second);
    return recent_.front().second;
  }
  auto constraint = std::make_shared<Constraint>(make(), vocabulary_);
  recent_.emplace_front(key, constraint);
  entries_[key] = recent_.begin();
  if (recent_.size() > capacity_) {
    entries_.erase(recent_.back().first);
    recent_.pop_back();
  }
  return constraint;
}

}  // namespace throng::engine
