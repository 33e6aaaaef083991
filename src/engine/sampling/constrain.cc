#include "engine/sampling/constrain.h"

#include <algorithm>

#include "base/check.h"

namespace throng::engine {
namespace {

using State = llm::Automaton::State;

constexpr size_t kMaxMaskWords = 8 << 20;  // 64 MiB of masks per constraint
constexpr size_t kMaxSteps = 200'000'000;  // limit of the search for dead ends: about a second
constexpr size_t kMaxTokenBytes = 1 << 16;

std::string KeyOf(const llm::Constraint& spec) {
  if (!spec.json_schema.empty()) return "s" + spec.json_schema;
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
  std::call_once(trie_once_, [this] { BuildTrie(); });
}

void Vocabulary::BuildTrie() const {
  // What a call left that ran out of memory.
  sorted_tokens_.clear();
  nodes_.clear();
  for (size_t token = 0; token < token_bytes_.size(); ++token) {
    const std::string& text = token_bytes_[token];
    if (text.empty() || text.size() > kMaxTokenBytes || IsEndOfGeneration(static_cast<int32_t>(token)))
      continue;
    sorted_tokens_.push_back(static_cast<int32_t>(token));
    if (text.size() == 1) has_byte_[static_cast<uint8_t>(text[0])] = true;
  }
  std::sort(sorted_tokens_.begin(), sorted_tokens_.end(), [&](int32_t a, int32_t b) {
    const int order = Bytes(a).compare(Bytes(b));
    return order != 0 ? order < 0 : a < b;
  });
  std::vector<uint32_t> open;  // the nodes on the path to the previous token
  const auto close = [&](size_t depth) {
    for (; open.size() > depth; open.pop_back())
      nodes_[open.back()].skip = static_cast<uint32_t>(nodes_.size());
  };
  const std::string* previous = nullptr;
  for (size_t i = 0; i < sorted_tokens_.size(); ++i) {
    const std::string& text = Bytes(sorted_tokens_[i]);
    size_t shared = 0;
    if (previous != nullptr) {
      shared = static_cast<size_t>(
          std::mismatch(text.begin(), text.end(), previous->begin(), previous->end()).first - text.begin());
    }
    if (shared == text.size() && previous != nullptr && previous->size() == text.size())
      continue;  // the same bytes
    close(shared);
    for (size_t depth = shared + 1; depth <= text.size(); ++depth) {
      open.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back(
          {0, static_cast<uint32_t>(i), static_cast<uint32_t>(depth), static_cast<uint8_t>(text[depth - 1])});
    }
    max_depth_ = std::max(max_depth_, static_cast<uint32_t>(text.size()));
    previous = &text;
  }
  close(0);
  const auto end = static_cast<uint32_t>(nodes_.size());
  nodes_.push_back({end, static_cast<uint32_t>(sorted_tokens_.size()), 0, 0});
}

Constraint::Constraint(const llm::Constraint& spec, std::shared_ptr<const Vocabulary> vocabulary)
    : Constraint(llm::CompileGrammar(spec), std::move(vocabulary)) {}

Constraint::Constraint(const llm::Grammar& grammar, std::shared_ptr<const Vocabulary> vocabulary)
    : vocabulary_(std::move(vocabulary)), longest_bytes_(grammar.LongestBytes()), automaton_(grammar) {
  vocabulary_->NeedTrie();
  walk_.resize(vocabulary_->max_depth_ + 1);
  for (int byte = 0; byte < 256; ++byte) {
    has_dead_ends_ |= automaton_.UsesByte(static_cast<uint8_t>(byte)) && !vocabulary_->has_byte_[byte];
  }
  if (has_dead_ends_) FindDeadEnds();
}

std::optional<int64_t> Constraint::LongestAnswerTokens() const {
  if (!longest_bytes_) return std::nullopt;
  return *longest_bytes_ + 1;
}

// Calls found(node, state) for each trie node that some allowed text passes through, with the state after it,
// until it returns false. Returns the number of steps.
template <typename Found>
size_t Constraint::Walk(State state, const Found& found) {
  const Vocabulary::Node* nodes = vocabulary_->nodes_.data();
  const auto count = static_cast<uint32_t>(vocabulary_->nodes_.size() - 1);
  State* by_depth = walk_.data();
  by_depth[0] = state;
  size_t steps = 0;
  for (uint32_t i = 0; i < count; ++steps) {
    const Vocabulary::Node& node = nodes[i];
    const State next = automaton_.Next(by_depth[node.depth - 1], node.byte);
    if (next == llm::Automaton::kDead) {
      i = node.skip;
      continue;
    }
    by_depth[node.depth] = next;
    if (!found(i, next)) break;
    ++i;
  }
  return steps;
}

std::shared_ptr<const Constraint::Mask> Constraint::AllowedIn(State state) {
  const auto cached = allowed_.find(state);
  if (cached != allowed_.end()) return cached->second;
  if (allowed_.size() * vocabulary_->MaskWords() > kMaxMaskWords) allowed_.clear();
  auto mask = std::make_shared<Mask>(vocabulary_->MaskWords());
  const auto allow = [&](int32_t token) {
    (*mask)[static_cast<size_t>(token) / 64] |= uint64_t{1} << (token & 63);
  };
  const Vocabulary::Node* nodes = vocabulary_->nodes_.data();
  Walk(state, [&](uint32_t i, State next) {
    const uint32_t end = nodes[i + 1].first_token;
    if (nodes[i].first_token == end || !IsAlive(next)) return true;
    for (uint32_t t = nodes[i].first_token; t < end; ++t) allow(vocabulary_->sorted_tokens_[t]);
    return true;
  });
  if (automaton_.IsComplete(state))
    std::for_each(vocabulary_->eog_ids_.begin(), vocabulary_->eog_ids_.end(), allow);
  allowed_[state] = mask;
  return mask;
}

// Asked after every token, and mostly in vain: the walk ends as soon as it has found two ways on.
Constraint::Forced Constraint::ForcedIn(State state) {
  const Vocabulary::Node* nodes = vocabulary_->nodes_.data();
  const bool complete = automaton_.IsComplete(state);
  size_t count = complete ? vocabulary_->eog_ids_.size() : 0;
  int32_t last = count > 0 ? vocabulary_->eog_ids_.back() : -1;
  bool bytes_are_known = !complete;
  uint32_t longest = 0;  // node
  Walk(state, [&](uint32_t i, State next) {
    const uint32_t first = nodes[i].first_token, end = nodes[i + 1].first_token;
    if (first == end || !IsAlive(next)) return true;
    bytes_are_known &= count == 0 || i < nodes[longest].skip;
    longest = i;
    count += end - first;
    last = vocabulary_->sorted_tokens_[first];
    return count < 2 || bytes_are_known;
  });
  return {
      .only = count == 1 ? last : -1,
      .longest = count > 0 && bytes_are_known ? vocabulary_->sorted_tokens_[nodes[longest].first_token] : -1};
}

// Explores all states at token boundaries, and marks those from which tokens lead to a complete answer.
void Constraint::FindDeadEnds() {
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
  const Vocabulary::Node* nodes = vocabulary_->nodes_.data();
  size_t steps = 0;
  std::vector<State> reached;
  for (size_t i = 0; i < seen.size(); ++i) {
    reached.clear();
    steps += Walk(seen[i], [&](uint32_t node, State next) {
      if (nodes[node].first_token != nodes[node + 1].first_token) reached.push_back(next);
      return true;
    });
    if (steps > kMaxSteps) {
      throw MakeError(ErrorCode::kUnsupported,
                      "constraint: the vocabulary lacks tokens of single bytes, and the answers are too many "
                      "to find out which it can spell");
    }
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
}

State Constraint::Restore(const llm::Automaton::Saved& saved) {
  // With dead ends, all states that can be reached were explored: keep them.
  if (!has_dead_ends_ && automaton_.Trim()) allowed_.clear();
  return automaton_.Restore(saved);
}

Matcher::Matcher(std::shared_ptr<Constraint> constraint) : constraint_(std::move(constraint)) {
  const std::lock_guard lock(constraint_->mutex_);
  Enter(constraint_->automaton_.Start());
}

void Matcher::Enter(State state) {
  const llm::Automaton& automaton = constraint_->automaton_;
  state_ = automaton.Save(state);
  complete_ = automaton.IsComplete(state);
  only_end_ = complete_ && !automaton.HasNext(state);
}

Constraint::Forced Matcher::Forced() {
  if (finished_) return {};
  const std::lock_guard lock(constraint_->mutex_);
  return constraint_->ForcedIn(constraint_->Restore(state_));
}

void Matcher::AllowedTokens(std::span<uint64_t> mask) {
  THRONG_CHECK(mask.size() == constraint_->vocabulary_->MaskWords());
  if (finished_) {
    std::fill(mask.begin(), mask.end(), 0);
    return;
  }
  std::shared_ptr<const Constraint::Mask> allowed;
  {
    const std::lock_guard lock(constraint_->mutex_);
    allowed = constraint_->AllowedIn(constraint_->Restore(state_));
  }
  std::copy(allowed->begin(), allowed->end(), mask.begin());
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
  State state = constraint_->Restore(state_);
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
  Enter(state);
  return true;
}

ConstraintCache::ConstraintCache(std::shared_ptr<const Vocabulary> vocabulary, size_t capacity)
    : vocabulary_(std::move(vocabulary)), capacity_(std::max<size_t>(capacity, 1)) {}

std::shared_ptr<Constraint> ConstraintCache::Get(const llm::Constraint& spec) {
  std::string key = KeyOf(spec);
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  if (found != entries_.end()) {
    recent_.splice(recent_.begin(), recent_, found->second);
    return recent_.front().second;
  }
  auto constraint = std::make_shared<Constraint>(spec, vocabulary_);
  recent_.emplace_front(key, constraint);
  entries_[std::move(key)] = recent_.begin();
  if (recent_.size() > capacity_) {
    entries_.erase(recent_.back().first);
    recent_.pop_back();
  }
  return constraint;
}

}  // namespace throng::engine
