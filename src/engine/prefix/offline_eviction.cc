#include "engine/prefix/offline_eviction.h"

#include <algorithm>
#include <limits>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/rng.h"
#include "engine/prefix/prefix_cache.h"

namespace throng::engine {

using kv::kPageTokens;

namespace {

constexpr size_t kNever = std::numeric_limits<size_t>::max();

struct Access {
  uint64_t block;
  size_t next = kNever;  // the access that uses it again
};

// If two blocks of a path are used again together, the later one has the later access, so it leaves before
// its predecessor.
std::vector<Access> AccessesOf(std::span<const BlockPath> prompts) {
  std::vector<Access> accesses;
  for (const BlockPath& path : prompts) {
    for (const uint64_t block : path) accesses.push_back({block});
  }
  std::unordered_map<uint64_t, size_t> next;
  for (size_t i = accesses.size(); i-- > 0;) {
    const auto [found, is_last] = next.try_emplace(accesses[i].block, i);
    if (!is_last) accesses[i].next = std::exchange(found->second, i);
  }
  return accesses;
}

}  // namespace

BlockPath PathOf(std::span<const int32_t> prompt) {
  BlockPath path;
  uint64_t hash = 0;
  for (size_t block = 0; block < engine::PrefixCache::MostBlocks(prompt.size()); ++block) {
    for (const int32_t token : prompt.subspan(block * kPageTokens, kPageTokens))
      hash = Mix64(hash + 0x9e3779b97f4a7c15ull + static_cast<uint32_t>(token));
    path.push_back(hash);
  }
  return path;
}

size_t LeastRecomputed(std::span<const BlockPath> prompts, size_t capacity) {
  std::set<std::pair<size_t, uint64_t>> held;  // by next use
  std::unordered_set<uint64_t> known;
  size_t recomputed = 0;
  const std::vector<Access> accesses = AccessesOf(prompts);
  for (size_t i = 0; i < accesses.size(); ++i) {
    const auto& [block, next] = accesses[i];
    const bool is_held = held.erase({i, block}) > 0;
    if (!known.insert(block).second && !is_held) ++recomputed;
    held.emplace(next, block);
    if (held.size() > capacity) held.erase(std::prev(held.end()));
  }
  return recomputed;
}

size_t PeakOfLive(std::span<const BlockPath> prompts) {
  std::unordered_set<uint64_t> known;
  size_t live = 0, peak = 0;
  for (const auto& [block, next] : AccessesOf(prompts)) {
    const bool was_live = !known.insert(block).second;
    if (was_live && next == kNever) --live;
    if (!was_live && next != kNever) peak = std::max(peak, ++live);
  }
  return peak;
}

}  // namespace throng::engine
