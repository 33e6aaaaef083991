// A sequence's position in the answer that a constraint allows.
#include <algorithm>

#include "base/check.h"
#include "engine/sampling/constrain.h"

namespace throng::engine {

namespace {

using State = llm::Automaton::State;

}  // namespace

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
  if (bytes.empty() || bytes.size() > Vocabulary::kMaxTokenBytes) return llm::Automaton::kDead;
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

}  // namespace throng::engine
