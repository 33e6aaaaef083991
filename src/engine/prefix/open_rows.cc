#include "engine/prefix/open_rows.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/rng.h"

namespace throng::engine {

using kv::kPageTokens;

namespace {

// Beginnings remembered: those of the prompts of the last hours of a large town.
constexpr size_t kMostSeen = 1 << 18;

size_t NumEqual(std::span<const int32_t> a, std::span<const int32_t> b) {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

// Calls visit(hash of the first n tokens) for each n in steps, up to a block's.
template <typename Visit>
void ForBeginnings(uint64_t path, std::span<const int32_t> tokens, const Visit& visit) {
  uint64_t hash = Mix64(path + 1);
  const size_t end = std::min(tokens.size(), static_cast<size_t>(kPageTokens) - 1);
  for (size_t i = 0; i < end; ++i) {
    hash = Mix64(hash + 0x9e3779b97f4a7c15ull + static_cast<uint32_t>(tokens[i]));
    if ((i + 1) % OpenRows::kStep == 0) visit(hash, i + 1);
  }
}

}  // namespace

OpenRows::Found OpenRows::Find(const void* path, std::span<const int32_t> tokens) {
  const auto found = by_path_.find(path);
  if (found == by_path_.end()) return {};
  size_t most = kStep - 1;
  const Place* best = nullptr;
  for (const Place& entry : found->second) {
    const size_t count = NumEqual(entry->tokens, tokens);
    if (count <= most) continue;
    most = count;
    best = &entry;
  }
  if (best == nullptr) return {};
  entries_.splice(entries_.end(), entries_, *best);
  credit_ = std::min(credit_ + static_cast<int64_t>(most), kMostCredit);
  // All 64 would be a whole block.
  return {(*best)->rows, static_cast<int>(std::min(most, static_cast<size_t>(kPageTokens) - 1))};
}

void OpenRows::Add(const void* path, std::span<const int32_t> tokens, kv::BlockRef rows) {
  THRONG_CHECK(tokens.size() <= static_cast<size_t>(kPageTokens) && rows != nullptr);
  if (tokens.size() < kStep) return;
  if (const auto found = by_path_.find(path); found != by_path_.end()) {
    const std::vector<Place> known = found->second;
    for (const Place& entry : known) {
      const size_t count = NumEqual(entry->tokens, tokens);
      if (count == tokens.size()) return entries_.splice(entries_.end(), entries_, entry);
      if (count == entry->tokens.size()) Drop(entry);
    }
  }
  entries_.push_back({path, {tokens.begin(), tokens.end()}, std::move(rows)});
  by_path_[path].push_back(std::prev(entries_.end()));
  while (Bytes() > pool_.BudgetBytes() / 8) DropOldest();
}

void OpenRows::Drop(Place entry) {
  const auto found = by_path_.find(entry->path);
  std::erase(found->second, entry);
  if (found->second.empty()) by_path_.erase(found);
  entries_.erase(entry);
}

void OpenRows::Forget(const void* path) {
  const auto found = by_path_.find(path);
  if (found == by_path_.end()) return;
  for (const Place& entry : found->second) entries_.erase(entry);
  by_path_.erase(found);
}

bool OpenRows::DropOldest() {
  if (entries_.empty()) return false;
  Drop(entries_.begin());
  return true;
}

void OpenRows::See(uint64_t path, std::span<const int32_t> tokens) {
  ForBeginnings(path, tokens, [this](uint64_t hash, size_t) {
    if (!seen_.insert(hash).second) return;
    seen_order_.push_back(hash);
    if (seen_order_.size() <= kMostSeen) return;
    seen_.erase(seen_order_.front());
    seen_order_.pop_front();
  });
}

bool OpenRows::WasSeen(uint64_t path, std::span<const int32_t> tokens, int count) const {
  bool seen = false;
  ForBeginnings(path, tokens, [&](uint64_t hash, size_t num) {
    seen = seen || (num > static_cast<size_t>(count) && seen_.contains(hash));
  });
  return seen;
}

}  // namespace throng::engine
