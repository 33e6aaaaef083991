#include "llm/grammar/automaton.h"

#include <xxhash.h>

#include <algorithm>

#include "base/check.h"

namespace throng::llm {
namespace {

// States are dropped beyond this many words (about 64 MiB).
constexpr size_t kMaxHeld = 16 << 20;
// Of ambiguous grammars, the readings of a text that are followed, and the callers of one of them. The rest
// is dropped: answers stay right, but not all of them can be reached.
constexpr size_t kMaxItems = 4096;
constexpr size_t kMaxCallers = 4096;
constexpr uint32_t kManyCallers = 16;  // from here on, equal ones are found by sorting

}  // namespace

size_t Automaton::WordsHash::operator()(const Words& words) const {
  return XXH3_64bits(words.data(), words.size() * sizeof(uint32_t));
}

Automaton::Automaton(const Grammar& grammar) : Automaton(grammar, nullptr) {}

Automaton::Automaton(const Grammar& grammar, const bool* has_byte) : program_(grammar, has_byte) {
  bool boundary[257] = {};  // a class of bytes begins here
  for (Program::Pos pos = 0; pos < program_.NumPositions(); ++pos) {
    const Program::Position& position = program_[pos];
    if (position.kind != Program::Kind::kByte) continue;
    for (uint32_t e = 0; e < position.number; ++e) {
      const Program::Edge& edge = program_.EdgesOf(position)[e];
      boundary[edge.low] = boundary[edge.high + 1] = true;
      for (int byte = edge.low; byte <= edge.high; ++byte) used_[byte] = true;
    }
  }
  for (int byte = 1; byte < 256; ++byte) {
    if (boundary[byte]) ++num_classes_;
    class_of_[byte] = static_cast<uint8_t>(num_classes_ - 1);
  }
  mark_.assign(program_.NumPositions(), {0, 0});
  called_.assign(program_.NumBodies(), {0, 0});
  Clear();
}

Program::PlainText Automaton::PlainTextAt(State state) const {
  auto all = Program::PlainText::kNone;
  const std::span<const uint32_t> items = ItemsOf(state);
  for (size_t i = 0; i < items.size() && all != Program::PlainText::kSome; i += 2) {
    const Program::PlainText text = program_.PlainTextAt(items[i]);
    if (text != Program::PlainText::kNone) all = text;
  }
  return all;
}

bool Automaton::IsFull() const { return held_ - floor_ >= kMaxHeld; }

void Automaton::Clear() {
  held_ = floor_ = 0;
  rows_.clear();
  states_.clear();
  ids_.clear();
  stacks_.assign(1, {kNoBody, 0, {}});
  stack_ids_.clear();
  Begin();
  Push(program_.Entry(), kNoCaller);
  start_ = Finish();
  THRONG_CHECK(start_ != kDead);
}

void Automaton::Begin() {
  ++round_;
  more_marks_.clear();
  reached_.clear();
  new_.clear();
  resolved_.clear();
}

void Automaton::Push(Program::Pos pos, Frames frames) {
  auto& [round, first] = mark_[pos];
  if (round != round_) {
    round = round_;
    first = frames;
  } else if (first == frames || !more_marks_.insert(uint64_t{pos} << 32 | frames).second) {
    return;
  }
  const uint32_t depth = (frames & kIsNew) != 0 ? new_[frames & ~kIsNew].depth : stacks_[frames].depth;
  const uint64_t needed = uint64_t{depth} + program_.Need(pos);
  if (needed > Program::kMaxDepth) return;  // cannot be completed within the limit
  peak_ = std::max(peak_, static_cast<uint32_t>(needed));
  work_.emplace_back(pos, frames);
}

// What a position leads to without a byte.
void Automaton::Expand(Program::Pos pos, Frames frames) {
  const Program::Position& at = program_[pos];
  switch (at.kind) {
    case Program::Kind::kByte:
      reached_.emplace_back(pos, frames);
      break;
    case Program::Kind::kFork:
      for (uint32_t e = at.number; e-- > 0;) Push(program_.EdgesOf(at)[e].next, frames);
      break;
    case Program::Kind::kCall: {
      const Program::Body& body = program_.BodyAt(at.first);
      if (body.nullable) Push(at.number, frames);
      if (at.number == Program::kReturn && !body.is_loop) {
        Push(body.entry, frames);  // the last call of a body needs no frame
      } else {
        PushCall(at.first, {at.number, 0, frames});
      }
      break;
    }
    case Program::Kind::kReturn:
      // Within the step of its call, a body is empty: the call has been skipped already.
      if ((frames & kIsNew) == 0) PushReturn(frames);
      break;
  }
}

// Calls of one body in one step share their frames.
void Automaton::PushCall(uint32_t body, const Caller& caller) {
  const uint32_t above =
      (caller.parent & kIsNew) != 0 ? new_[caller.parent & ~kIsNew].depth : stacks_[caller.parent].depth;
  auto& [round, index] = called_[body];
  if (round != round_) {
    round = round_;
    index = static_cast<uint32_t>(new_.size());
    new_.push_back({body, above + 1, {}});
  }
  Stack& stack = new_[index];
  stack.depth = std::min(stack.depth, above + 1);
  if (stack.callers.size() >= kMaxCallers) {
    has_dropped_ = true;
    return;
  }
  const auto is_same = [&](const Caller& other) {
    return other.next == caller.next && other.count == caller.count && other.parent == caller.parent;
  };
  if (stack.callers.size() < kManyCallers && std::any_of(stack.callers.begin(), stack.callers.end(), is_same))
    return;
  stack.callers.push_back(caller);
  Push(program_.BodyAt(body).entry, index | kIsNew);
}

void Automaton::PushReturn(Frames frames) {
  if (frames == kNoCaller) return Push(Program::kEnd, kNoCaller);
  const Stack& stack = stacks_[frames];
  if (stack.body == kHoleBody) return Push(Program::kHole, frames);
  const Program::Body& body = program_.BodyAt(stack.body);
  for (const Caller& caller : stack.callers) {
    if (!body.is_loop) {
      Push(caller.next, caller.parent);
      continue;
    }
    const int64_t count = int64_t{caller.count} + 1;
    if (count >= body.min) Push(caller.next, caller.parent);
    const bool is_bounded = body.max != Grammar::kUnbounded;
    if (is_bounded && count == body.max) continue;
    PushCall(stack.body, {caller.next, static_cast<uint32_t>(is_bounded ? count : std::min(count, body.min)),
                          caller.parent});
  }
}

// A frame of this step, as one that is kept.
Automaton::Frames Automaton::Resolve(Frames frames) {
  if ((frames & kIsNew) == 0) return frames;
  const uint32_t index = frames & ~kIsNew;
  if (resolved_[index] != kIsNew) return resolved_[index];
  Stack stack = new_[index];
  for (Caller& caller : stack.callers) caller.parent = Resolve(caller.parent);
  return resolved_[index] = Keep(std::move(stack));
}

Automaton::Frames Automaton::Keep(Stack stack) {
  const auto order = [](const Caller& a, const Caller& b) {
    return a.next != b.next ? a.next < b.next : a.count < b.count;
  };
  // Not by parent: their numbers depend on other texts.
  std::stable_sort(stack.callers.begin(), stack.callers.end(), order);
  Words words = {stack.body, stack.depth};
  std::vector<Caller> callers;
  for (const Caller& caller : stack.callers) {
    bool is_known = false;
    for (size_t i = callers.size(); i-- > 0 && !is_known && !order(callers[i], caller);)
      is_known = callers[i].parent == caller.parent;
    if (is_known) continue;
    callers.push_back(caller);
    words.insert(words.end(), {caller.next, caller.count, caller.parent});
  }
  stack.callers = std::move(callers);
  const auto [found, is_new] = stack_ids_.try_emplace(std::move(words), static_cast<Frames>(stacks_.size()));
  if (is_new) {
    held_ += 6 * stack.callers.size() + 32;
    stacks_.push_back(std::move(stack));
  }
  return found->second;
}

Automaton::State Automaton::Finish() {
  while (!work_.empty()) {
    const auto [pos, frames] = work_.back();
    work_.pop_back();
    Expand(pos, frames);
  }
  if (reached_.empty()) return kDead;
  resolved_.assign(new_.size(), kIsNew);
  std::stable_sort(reached_.begin(), reached_.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  Words items;
  for (const auto& [pos, frames] : reached_) {
    if (items.size() == 2 * kMaxItems) {
      has_dropped_ = true;
      break;
    }
    const Frames kept = Resolve(frames);
    bool is_known = false;
    for (size_t i = items.size(); i > 0 && !is_known && items[i - 2] == pos; i -= 2)
      is_known = items[i - 1] == kept;
    if (!is_known) items.insert(items.end(), {pos, kept});
  }
  return Intern(std::move(items));
}

Automaton::State Automaton::Intern(Words items) {
  const auto [found, is_new] = ids_.try_emplace(items, static_cast<State>(states_.size()));
  if (is_new) {
    held_ += 2 * items.size() + num_classes_ + 32;
    states_.push_back(std::move(items));
    rows_.resize(rows_.size() + num_classes_, kUnknown);
  }
  return found->second;
}

Automaton::State Automaton::Determine(State state, uint8_t byte) {
  Begin();
  const std::span<const uint32_t> items = ItemsOf(state);
  for (size_t i = items.size(); i > 0; i -= 2) {
    const Program::Position& at = program_[items[i - 2]];
    for (uint32_t e = 0; e < at.number; ++e) {
      const Program::Edge& edge = program_.EdgesOf(at)[e];
      if (edge.low <= byte && byte <= edge.high) Push(edge.next, items[i - 1]);
    }
  }
  const State next = Finish();
  return rows_[static_cast<size_t>(state) * num_classes_ + class_of_[byte]] = next;
}

Automaton::State Automaton::After(std::string_view text) {
  State state = start_;
  for (size_t i = 0; i < text.size() && state != kDead; ++i)
    state = Next(state, static_cast<uint8_t>(text[i]));
  floor_ = held_;
  return state;
}

bool Automaton::Matches(std::string_view text) {
  if (held_ >= kMaxHeld) Clear();
  const State state = After(text);
  return state != kDead && IsComplete(state);
}

Automaton::Outlook Automaton::OutlookOf(State state, int levels, uint32_t reach) {
  Outlook outlook;
  std::vector<std::pair<std::pair<Frames, int>, uint32_t>> numbers;  // of frames, in the order of their visit
  std::vector<std::pair<Frames, int>> queue;
  const auto number = [&](Frames frames, int level) {
    for (const auto& [known, value] : numbers) {
      if (known.first == frames && known.second == level) return value;
    }
    const auto value = static_cast<uint32_t>(numbers.size());
    numbers.push_back({{frames, level}, value});
    queue.emplace_back(frames, level);
    return value;
  };
  outlook.levels = levels;
  outlook.reach = reach;
  outlook.nearest = reach + 1;
  outlook.key = {static_cast<uint32_t>(levels), reach};
  const std::span<const uint32_t> items = ItemsOf(state);
  for (size_t i = 0; i < items.size(); i += 2)
    outlook.key.insert(outlook.key.end(), {items[i], number(items[i + 1], levels)});
  for (size_t i = 0; i < queue.size(); ++i) {
    const auto [frames, level] = queue[i];
    const Stack& stack = stacks_[frames];
    outlook.key.push_back(stack.body);
    if (frames == kNoCaller) continue;
    const Program::Body& body = program_.BodyAt(stack.body);
    if (!body.is_loop && level == 0) {
      outlook.key.push_back(kHoleBody);
      outlook.callers.push_back(frames);
      continue;
    }
    outlook.key.push_back(static_cast<uint32_t>(stack.callers.size()));
    for (const Caller& caller : stack.callers) {
      const int64_t far = int64_t{reach} + 2;
      const int64_t to_min = std::clamp<int64_t>(body.min - caller.count, 0, far);
      const int64_t to_max = body.max == Grammar::kUnbounded ? far : std::min(body.max - caller.count, far);
      for (const int64_t left : {to_min, to_max})
        if (left > 0 && left < far) outlook.nearest = std::min(outlook.nearest, static_cast<uint32_t>(left));
      const uint32_t parent = number(caller.parent, body.is_loop ? level : level - 1);
      outlook.key.insert(outlook.key.end(),
                         {caller.next, static_cast<uint32_t>(to_min), static_cast<uint32_t>(to_max), parent});
    }
  }
  return outlook;
}

Automaton::State Automaton::WithHoles(State state, const Outlook& outlook) {
  std::map<std::pair<Frames, int>, Frames> done;
  Words items(ItemsOf(state).begin(), ItemsOf(state).end());
  for (size_t i = 1; i < items.size(); i += 2) items[i] = Hollow(items[i], outlook.levels, outlook, done);
  return Intern(std::move(items));
}

Automaton::Frames Automaton::Hollow(Frames frames, int level, const Outlook& outlook,
                                    std::map<std::pair<Frames, int>, Frames>& done) {
  if (frames == kNoCaller) return frames;
  const auto known = done.find({frames, level});
  if (known != done.end()) return known->second;
  Stack stack = stacks_[frames];
  const bool is_loop = program_.BodyAt(stack.body).is_loop;
  if (!is_loop && level == 0) {
    const auto found = std::find(outlook.callers.begin(), outlook.callers.end(), frames);
    stack = {kHoleBody, 0, {{0, static_cast<uint32_t>(found - outlook.callers.begin()), kNoCaller}}};
  } else {
    stack.depth = Program::kMaxDepth;
    for (Caller& caller : stack.callers) {
      caller.parent = Hollow(caller.parent, is_loop ? level : level - 1, outlook, done);
      stack.depth = std::min(stack.depth, stacks_[caller.parent].depth + 1);
    }
  }
  return done[{frames, level}] = Keep(std::move(stack));
}

std::vector<uint32_t> Automaton::HolesOf(State state) const {
  std::vector<uint32_t> holes;
  const std::span<const uint32_t> items = ItemsOf(state);
  for (size_t i = 0; i < items.size() && items[i] <= Program::kHole; i += 2) {
    if (items[i] == Program::kHole) holes.push_back(stacks_[items[i + 1]].callers[0].count);
  }
  return holes;
}

Automaton::State Automaton::Return(std::span<const Frames> callers) {
  Begin();
  for (const Frames frames : callers) PushReturn(frames);
  return Finish();
}

bool Automaton::HasRoom(std::span<const Frames> callers) const {
  return !has_dropped_ && std::all_of(callers.begin(), callers.end(), [&](Frames frames) {
    return stacks_[frames].depth + peak_ <= Program::kMaxDepth;
  });
}

}  // namespace throng::llm
